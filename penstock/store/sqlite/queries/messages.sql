-- Messages: kept, found, leased, changed, forgotten. Parameters in order after the colon; what is returned after the arrow.
-- Texts are selected as bytes: one that is damaged shows when its row is decoded, not when rows are fetched.

-- name: insert_message
-- : see the columns
INSERT INTO messages (message_key, queue_number, message_id, group_key, rank, position, visible_at, phase, priority,
                      sent_at, expires_at, extras, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_body
-- : message key, body
INSERT INTO bodies (message_key, body) VALUES (?, ?);

-- name: carry_message
-- : new message key, queue number, group key, rank, position, visible at, sent at, dead-letter source, message key
UPDATE messages SET message_key = ?, queue_number = ?, group_key = ?, rank = ?, position = ?, visible_at = ?, sent_at = ?,
       dead_letter_source = ?, phase = 0, carried_count = receive_count, received_at = NULL, token = NULL, owner = NULL
WHERE message_key = ?;

-- name: carry_body
-- : new message key, message key
UPDATE bodies SET message_key = ? WHERE message_key = ?;

-- name: delete_message
-- : message key
DELETE FROM messages WHERE message_key = ?;

-- name: delete_ten
-- : 10 message keys
DELETE FROM messages WHERE message_key IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: delete_body
-- : message key
DELETE FROM bodies WHERE message_key = ?;

-- name: rewrite_message
-- : extras, body, message key
UPDATE messages SET extras = ?, body = ? WHERE message_key = ?;

-- name: message_by_key
-- : message key -> a message row
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, CAST(dead_letter_source AS BLOB), token, body IS NULL
FROM messages WHERE message_key = ?;

-- name: held_by_keys
-- : 10 message keys -> message key, message id, group key, visible at, token, has a long body
SELECT message_key, message_id, group_key, visible_at, token, body IS NULL
FROM messages WHERE message_key IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: message_by_id
-- : message id -> a message row
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, CAST(dead_letter_source AS BLOB), token, body IS NULL
FROM messages WHERE message_id = ?;

-- name: extras_by_key
-- : message key -> extras
SELECT CAST(extras AS BLOB) FROM messages WHERE message_key = ?;

-- name: body_by_key
-- : message key -> body of a message whose body is long
SELECT CAST(body AS BLOB) FROM bodies WHERE message_key = ?;

-- name: next_in_lane
-- : group key, rank, now, limit -> message rows with extras and body, what has been receivable longest first
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, CAST(dead_letter_source AS BLOB), token,
       body IS NULL, CAST(extras AS BLOB), CAST(body AS BLOB)
FROM messages
WHERE group_key = ? AND rank = ? AND position <= ? ORDER BY position, message_key LIMIT ?;

-- name: next_in_strict_group
-- : group key, after sequence number, limit -> message rows with extras and body, in order of arrival
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, CAST(dead_letter_source AS BLOB), token,
       body IS NULL, CAST(extras AS BLOB), CAST(body AS BLOB)
FROM messages
WHERE group_key = ? AND rank = 0 AND position > ? ORDER BY position LIMIT ?;

-- name: first_behind
-- : group key, after sequence number -> when the message that comes next in a strict group may be received
SELECT visible_at FROM messages WHERE group_key = ? AND rank = 0 AND position > ? ORDER BY position LIMIT 1;

-- name: whole_message
-- : message key -> message row with extras and body
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, CAST(dead_letter_source AS BLOB), token,
       body IS NULL, CAST(extras AS BLOB), CAST(body AS BLOB)
FROM messages WHERE message_key = ?;

-- name: messages_after
-- : after message key, below message key, limit -> message rows with extras and body, in order of arrival
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, CAST(dead_letter_source AS BLOB), token,
       body IS NULL, CAST(extras AS BLOB), CAST(body AS BLOB)
FROM messages WHERE message_key > ? AND message_key < ? ORDER BY message_key LIMIT ?;

-- name: chunk_end
-- : after message key, below message key, limit -> last message key, how many messages, bytes of their long bodies
SELECT max(message_key), count(*),
       coalesce(sum(CASE WHEN body IS NULL THEN (SELECT octet_length(b.body) FROM bodies b WHERE b.message_key = m.message_key) END), 0)
FROM (SELECT message_key, body FROM messages WHERE message_key > ? AND message_key < ? ORDER BY message_key LIMIT ?) m;

-- name: candidates
-- : after and up to message key, conditions by name, NULL where there is none; texts are bytes
--   -> message rows with extras and body, in order of arrival, of all that may meet the conditions
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, CAST(dead_letter_source AS BLOB), token,
       body IS NULL, CAST(extras AS BLOB), CAST(body AS BLOB)
FROM messages
WHERE message_key > :after AND message_key <= :up_to
  AND (:is_ready IS NULL OR visible_at <= :now)
  AND (:phase IS NULL OR phase = :phase AND visible_at > :now)
  AND (:group_key IS NULL OR +group_key = :group_key)
  AND (:min_receive_count IS NULL OR receive_count >= :min_receive_count)
  AND (:sent_before IS NULL OR sent_at < :sent_before)
  AND (:sent_after IS NULL OR sent_at > :sent_after)
  AND (:attribute IS NULL OR instr(CAST(extras AS BLOB), :attribute))
  AND (:text IS NULL OR instr(CAST(coalesce(body, (SELECT b.body FROM bodies b WHERE b.message_key = messages.message_key)) AS BLOB), :text))
ORDER BY message_key;

-- name: timed_keys
-- : queue number, now, phase, limit -> message keys of those that are delayed, or in flight
SELECT message_key FROM messages INDEXED BY messages_timed
WHERE queue_number = ? AND visible_at > ? AND phase = ? AND phase > 0 LIMIT ?;

-- name: first_ready_in_lane
-- : group key, rank, now, limit -> position, message key, what has been receivable longest first
SELECT position, message_key FROM messages
WHERE group_key = ? AND rank = ? AND position <= ? ORDER BY position, message_key LIMIT ?;

-- name: head_in_lane
-- : group key, rank, limit -> message key, visible at, priority, what is or becomes receivable first at the front
SELECT message_key, visible_at, priority FROM messages
WHERE group_key = ? AND rank = ? ORDER BY position, message_key LIMIT ?;

-- name: next_due_in_lane
-- : group key, rank, now -> the first instant after now at which a message becomes receivable
SELECT position FROM messages WHERE group_key = ? AND rank = ? AND position > ? ORDER BY position LIMIT 1;

-- name: lease
-- : visible at, rank, position, token, owner, now, now, message key
UPDATE messages SET visible_at = ?, rank = ?, position = ?, phase = 2, token = ?, owner = ?, receive_count = receive_count + 1,
       first_received_at = coalesce(first_received_at, ?), received_at = ?
WHERE message_key = ?;

-- name: lease_ten
-- : visible at, rank, owner, now, 10 times message key and token
UPDATE messages SET visible_at = ?1, rank = ?2, position = ?1, phase = 2, token = given.column2, owner = ?3,
       receive_count = receive_count + 1, first_received_at = coalesce(first_received_at, ?4), received_at = ?4
FROM (VALUES (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?)) AS given
WHERE message_key = given.column1;

-- name: lease_in_strict_group
-- : visible at, token, owner, now, now, message key
UPDATE messages SET visible_at = ?, phase = 2, token = ?, owner = ?, receive_count = receive_count + 1,
       first_received_at = coalesce(first_received_at, ?), received_at = ?
WHERE message_key = ?;

-- name: lease_ten_in_strict_group
-- : visible at, owner, now, 10 times message key and token
UPDATE messages SET visible_at = ?1, phase = 2, token = given.column2, owner = ?2, receive_count = receive_count + 1,
       first_received_at = coalesce(first_received_at, ?3), received_at = ?3
FROM (VALUES (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?), (?, ?)) AS given
WHERE message_key = given.column1;

-- name: change_visibility
-- : visible at, position, message key
UPDATE messages SET visible_at = ?, position = ? WHERE message_key = ?;

-- name: reschedule
-- : visible at, rank, position, phase, message key
UPDATE messages SET visible_at = ?, rank = ?, position = ?, phase = ?, token = NULL, owner = NULL WHERE message_key = ?;

-- name: give_back
-- : visible at, position, phase, by how much fewer receives, message key
UPDATE messages SET visible_at = ?, position = ?, phase = ?, token = NULL, owner = NULL,
       receive_count = receive_count - ?
WHERE message_key = ?;

-- name: lease_end
-- : queue number, now, how many end before -> when a lease of the queue ends
SELECT visible_at FROM messages WHERE queue_number = ? AND visible_at > ? AND phase = 2
ORDER BY visible_at LIMIT 1 OFFSET ?;

-- name: held_by_owner
-- : owner, now -> message rows, queue number
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, CAST(dead_letter_source AS BLOB), token,
       body IS NULL, queue_number
FROM messages WHERE owner = ? AND phase = 2 AND visible_at > ? ORDER BY message_key;

-- name: lapsed
-- : queue number, after, up to -> phase, group key, how many were due in between
SELECT phase, group_key, count(*) FROM messages
WHERE queue_number = ? AND visible_at > ? AND visible_at <= ? AND phase > 0 GROUP BY phase, group_key;

-- name: held_by_group
-- : queue number, now -> group key, how many of its messages are leased
SELECT group_key, count(*) FROM messages WHERE queue_number = ? AND visible_at > ? AND phase = 2 GROUP BY group_key;

-- name: count_group
-- : group key -> how many messages it has
SELECT count(*) FROM messages WHERE group_key = ?;

-- name: oldest_sent_at
-- : first possible message key, below message key -> when the first message was sent
SELECT sent_at FROM messages WHERE message_key > ? AND message_key < ? ORDER BY message_key LIMIT 1;
