-- What the sweep forgets. Parameters in order after the colon; what is returned after the arrow.

-- name: sweep_events
-- : how many are kept; ids have no gaps
DELETE FROM events WHERE event_id <= (SELECT max(event_id) FROM events) - ?;

-- name: expired_messages
-- : now, limit -> message keys
SELECT message_key, queue_number FROM messages WHERE expires_at <= ? LIMIT ?;

-- name: sent_before
-- : after message key, below message key, limit -> message key, sent at in order of arrival
SELECT message_key, sent_at FROM messages WHERE message_key > ? AND message_key < ? ORDER BY message_key LIMIT ?;

-- name: queues_with_messages
-- -> the names of all queues that hold messages
SELECT name FROM queues INDEXED BY queues_with_messages WHERE message_count > 0;

-- name: sweep_duplicates
-- : now, limit
DELETE FROM duplicates WHERE (queue_number, key) IN
    (SELECT queue_number, key FROM duplicates WHERE kept_until <= ? LIMIT ?);

-- name: sweep_attempts
-- : now, limit
DELETE FROM attempts WHERE (queue_number, attempt_id) IN
    (SELECT queue_number, attempt_id FROM attempts WHERE kept_until <= ? LIMIT ?);

-- name: sweep_deleted_queues
-- : deleted before
DELETE FROM deleted_queues WHERE deleted_at <= ?;

-- name: next_orphan
-- -> a queue number that no queue has any more
SELECT queue_number FROM orphans LIMIT 1;

-- name: sweep_orphan_messages
-- : first possible message key, below message key, limit
DELETE FROM messages WHERE message_key IN
    (SELECT message_key FROM messages WHERE message_key > ? AND message_key < ? LIMIT ?);

-- name: sweep_orphan_contents
-- : first possible message key, below message key, limit
DELETE FROM contents WHERE message_key IN
    (SELECT message_key FROM contents WHERE message_key > ? AND message_key < ? LIMIT ?);

-- name: sweep_orphan_groups
-- : queue number, limit
DELETE FROM groups WHERE group_key IN (SELECT group_key FROM groups WHERE queue_number = ? LIMIT ?);

-- name: sweep_orphan_duplicates
-- : queue number, queue number, limit
DELETE FROM duplicates WHERE queue_number = ? AND key IN
    (SELECT key FROM duplicates WHERE queue_number = ? LIMIT ?);

-- name: sweep_orphan_attempts
-- : queue number
DELETE FROM attempts WHERE queue_number = ?;

-- name: delete_orphan
-- : queue number
DELETE FROM orphans WHERE queue_number = ?;
