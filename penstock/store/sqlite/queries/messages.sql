-- Messages: kept, found, leased, changed, forgotten. Parameters in order after the colon; what is returned after the arrow.

-- name: insert_message
-- : see the columns
INSERT INTO messages (message_key, queue_number, message_id, group_key, rank, position, visible_at, phase, priority,
                      sent_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_carried_message
-- : see the columns; a message that has been dead-lettered
INSERT INTO messages (message_key, queue_number, message_id, group_key, rank, position, visible_at, phase, priority,
                      sent_at, expires_at, receive_count, carried_count, first_received_at, dead_letter_source)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_content
-- : message key, body, extras
INSERT INTO contents (message_key, body, extras) VALUES (?, ?, ?);

-- name: move_content
-- : new message key, message key
UPDATE contents SET message_key = ? WHERE message_key = ?;

-- name: delete_message
-- : message key
DELETE FROM messages WHERE message_key = ?;

-- name: delete_content
-- : message key
DELETE FROM contents WHERE message_key = ?;

-- name: message_by_key
-- : message key -> a whole message row without content
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, dead_letter_source, token
FROM messages WHERE message_key = ?;

-- name: message_by_id
-- : message id -> a whole message row without content
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, dead_letter_source, token
FROM messages WHERE message_id = ?;

-- name: content_by_key
-- : message key -> body, extras
SELECT body, extras FROM contents WHERE message_key = ?;

-- name: next_in_lane
-- : group key, rank, now, limit -> whole message rows, what has been receivable longest first
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, dead_letter_source, token, body, extras
FROM messages JOIN contents USING (message_key)
WHERE group_key = ? AND rank = ? AND position <= ? ORDER BY position, message_key LIMIT ?;

-- name: next_in_strict_group
-- : group key, after sequence number, limit -> whole message rows in order of arrival
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, dead_letter_source, token, body, extras
FROM messages JOIN contents USING (message_key)
WHERE group_key = ? AND rank = 0 AND position > ? ORDER BY position LIMIT ?;

-- name: first_behind
-- : group key, after sequence number -> when the message that comes next in a strict group may be received
SELECT visible_at FROM messages WHERE group_key = ? AND rank = 0 AND position > ? ORDER BY position LIMIT 1;

-- name: whole_message
-- : message key -> whole message row with content
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, dead_letter_source, token, body, extras
FROM messages JOIN contents USING (message_key) WHERE message_key = ?;

-- name: messages_after
-- : after message key, below message key, limit -> whole message rows in order of arrival
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, dead_letter_source, token, body, extras
FROM messages JOIN contents USING (message_key) WHERE message_key > ? AND message_key < ? ORDER BY message_key LIMIT ?;

-- name: first_ready_in_lane
-- : group key, rank, now -> position, message key of what has been receivable longest
SELECT position, message_key FROM messages
WHERE group_key = ? AND rank = ? AND position <= ? ORDER BY position, message_key LIMIT 1;

-- name: head_in_lane
-- : group key, rank -> message key, visible at, priority of what is or becomes receivable first
SELECT message_key, visible_at, priority FROM messages
WHERE group_key = ? AND rank = ? ORDER BY position, message_key LIMIT 1;

-- name: next_due_in_lane
-- : group key, rank, now -> the first instant after now at which a message becomes receivable
SELECT position FROM messages WHERE group_key = ? AND rank = ? AND position > ? ORDER BY position LIMIT 1;

-- name: lease
-- : visible at, rank, position, token, owner, now, now, message key
UPDATE messages SET visible_at = ?, rank = ?, position = ?, phase = 2, token = ?, owner = ?, receive_count = receive_count + 1,
       first_received_at = coalesce(first_received_at, ?), received_at = ?
WHERE message_key = ?;

-- name: lease_in_strict_group
-- : visible at, token, owner, now, now, message key
UPDATE messages SET visible_at = ?, phase = 2, token = ?, owner = ?, receive_count = receive_count + 1,
       first_received_at = coalesce(first_received_at, ?), received_at = ?
WHERE message_key = ?;

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
-- : owner, now -> message rows without content
SELECT message_key, message_id, group_key, visible_at, phase, priority, sent_at, expires_at, receive_count,
       carried_count, first_received_at, received_at, dead_letter_source, token, queue_number
FROM messages WHERE owner = ? AND phase = 2 AND visible_at > ? ORDER BY message_key;

-- name: lapsed
-- : queue number, after, up to -> phase, group key, how many were due in between
SELECT phase, group_key, count(*) FROM messages
WHERE queue_number = ? AND visible_at > ? AND visible_at <= ? AND phase > 0 GROUP BY phase, group_key;

-- name: oldest_sent_at
-- : first possible message key, below message key -> when the first message was sent
SELECT sent_at FROM messages WHERE message_key > ? AND message_key < ? ORDER BY message_key LIMIT 1;
