-- What the sweep forgets and what a check reads. Parameters in order after the colon; what is returned after the arrow.

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

-- name: sweep_orphan_bodies
-- : first possible message key, below message key, limit
DELETE FROM bodies WHERE message_key IN
    (SELECT message_key FROM bodies WHERE message_key > ? AND message_key < ? LIMIT ?);

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

-- name: queue_names
-- -> queue number, name
SELECT queue_number, name FROM queues;

-- name: every_queue
-- -> whole queue rows
SELECT queue_number, name, settings, created_at, modified_at, purged_at, last_sequence, last_turn, lanes, group_count,
       message_count, in_flight, delayed, counted_at, sent_total, received_total, deleted_total,
       busy_period, busy_current_ms, busy_previous_ms
FROM queues;

-- name: every_group
-- -> whole group rows
SELECT group_key, group_id, lane, ready_at, turn, head_key, head_visible_at, message_count, in_flight, is_parked,
       is_noisy, last_sent_at, busy_period, busy_current_ms, busy_previous_ms
FROM groups;

-- name: every_follow_up
-- -> follow ups of joins
SELECT follow_up FROM joins;

-- name: every_move
-- -> move tasks
SELECT move FROM moves;

-- name: every_record
-- -> records
SELECT key, value, tags, expires_at FROM records;
