-- Taking in what is carried from another store; counts and order are worked out in the end. Parameters in order after the
-- colon; what is returned after the arrow.

-- name: queue_order
-- : name -> queue number, group order
SELECT queue_number, CAST(settings AS TEXT) ->> 'group_order' FROM queues WHERE name = ?;

-- name: is_queue
-- : name -> 1 if there is one
SELECT 1 FROM queues WHERE name = ?;

-- name: wake_name
-- : name of a queue that is there again
DELETE FROM deleted_queues WHERE name = ?;

-- name: take_in_queue
-- : see the columns
INSERT INTO queues (name, settings, dead_letter_queue, created_at, modified_at, purged_at, last_sequence, last_turn,
                    sent_total, received_total, deleted_total, busy_period, busy_current_ms, busy_previous_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    settings = excluded.settings, dead_letter_queue = excluded.dead_letter_queue, created_at = excluded.created_at,
    modified_at = excluded.modified_at, purged_at = excluded.purged_at, last_sequence = excluded.last_sequence,
    last_turn = excluded.last_turn, sent_total = excluded.sent_total, received_total = excluded.received_total,
    deleted_total = excluded.deleted_total, busy_period = excluded.busy_period,
    busy_current_ms = excluded.busy_current_ms, busy_previous_ms = excluded.busy_previous_ms;

-- name: take_in_message
-- : all columns, as the table has them
INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: take_in_body
-- : message key, body
INSERT OR REPLACE INTO bodies VALUES (?, ?);

-- name: make_group
-- : queue number, group id
INSERT OR IGNORE INTO groups (queue_number, group_id) VALUES (?, ?);

-- name: group_key
-- : queue number, group id -> group key
SELECT group_key FROM groups WHERE queue_number = ? AND group_id = ?;

-- name: take_in_group
-- : see the columns
UPDATE groups SET lane = ?, ready_at = ?, turn = ?, head_key = ?, head_visible_at = ?, is_parked = ?, is_noisy = ?,
       last_sent_at = ?, busy_period = ?, busy_current_ms = ?, busy_previous_ms = ?
WHERE group_key = ?;

-- name: delete_group_by_id
-- : queue number, group id
DELETE FROM groups WHERE queue_number = ? AND group_id = ?;

-- name: take_in_join_part
-- : join id, part id
INSERT INTO join_parts VALUES (?, ?);

-- name: take_in_join_count
-- : join id, how many parts have arrived
INSERT INTO join_counts VALUES (?, ?);

-- name: take_in_record
-- : key, value, tags, expires at
INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?);

-- name: take_in_record_tag
-- : name=value, key
INSERT OR IGNORE INTO record_tags VALUES (?, ?);

-- name: tags_of_record
-- : key -> tags
SELECT tags FROM records WHERE key = ?;

-- name: forget_record_tag
-- : name=value, key
DELETE FROM record_tags WHERE tag = ? AND key = ?;

-- name: forget_record
-- : key
DELETE FROM records WHERE key = ?;

-- name: take_in_event
-- : all columns, as the table has them
INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?);

-- name: forget_bodies_alone
-- : those whose message is not there
DELETE FROM bodies WHERE message_key NOT IN (SELECT message_key FROM messages);

-- name: forget_empty_groups
-- : those that are not parked
DELETE FROM groups
WHERE NOT is_parked AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.group_key = groups.group_key);

-- name: count_fair_groups
-- : now
UPDATE groups SET
    message_count = (SELECT count(*) FROM messages WHERE messages.group_key = groups.group_key),
    in_flight = (SELECT count(*) FROM messages
                 WHERE messages.group_key = groups.group_key AND phase = 2 AND visible_at > ?)
WHERE queue_number IN
    (SELECT queue_number FROM queues WHERE CAST(settings AS TEXT) ->> 'group_order' <> 'strict');

-- name: queue_numbers
-- : -> the numbers of all queues
SELECT queue_number FROM queues;

-- name: lanes_in
-- : message keys from and to, both excluded -> each rank and priority there is
SELECT DISTINCT rank, priority FROM messages WHERE message_key > ? AND message_key < ?;

-- name: counts_in
-- : now, now, message keys from and to, both excluded -> how many messages, leased and delayed among them
SELECT count(*), count(*) FILTER (WHERE phase = 2 AND visible_at > ?),
       count(*) FILTER (WHERE phase = 1 AND visible_at > ?)
FROM messages WHERE message_key > ? AND message_key < ?;

-- name: count_queue
-- : how many messages, leased, delayed, counted at, lanes, queue number
UPDATE queues SET message_count = ?, in_flight = ?, delayed = ?, counted_at = ?, lanes = ?,
       group_count = (SELECT count(*) FROM groups WHERE groups.queue_number = queues.queue_number)
WHERE queue_number = ?;
