-- Queues. Parameters in order after the colon; what is returned after the arrow.

-- name: queue_by_name
-- : name -> a whole queue row
SELECT queue_number, name, settings, created_at, modified_at, purged_at, last_sequence, last_turn, lanes, group_count,
       message_count, in_flight, delayed, counted_at, sent_total, received_total, deleted_total,
       busy_period, busy_current_ms, busy_previous_ms
FROM queues WHERE name = ?;

-- name: queue_by_number
-- : queue number -> its name
SELECT name FROM queues WHERE queue_number = ?;

-- name: queue_page
-- : from name, below name, after name, limit -> queue rows by name
SELECT queue_number, name, settings, created_at, modified_at, purged_at, last_sequence, last_turn, lanes, group_count,
       message_count, in_flight, delayed, counted_at, sent_total, received_total, deleted_total,
       busy_period, busy_current_ms, busy_previous_ms
FROM queues WHERE name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?;

-- name: queue_page_of_sources
-- : dead-letter queue, from name, below name, after name, limit -> queue rows by name
SELECT queue_number, name, settings, created_at, modified_at, purged_at, last_sequence, last_turn, lanes, group_count,
       message_count, in_flight, delayed, counted_at, sent_total, received_total, deleted_total,
       busy_period, busy_current_ms, busy_previous_ms
FROM queues WHERE dead_letter_queue = ? AND name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?;

-- name: insert_queue
-- : name, settings, dead-letter queue, created at, modified at, purged at, last sequence, last turn, counted at, totals
INSERT INTO queues (name, settings, dead_letter_queue, created_at, modified_at, purged_at, last_sequence, last_turn,
                    counted_at, sent_total, received_total, deleted_total)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: update_queue_settings
-- : settings, dead-letter queue, modified at, queue number
UPDATE queues SET settings = ?, dead_letter_queue = ?, modified_at = ? WHERE queue_number = ?;

-- name: update_queue_state
-- : what changes with messages, queue number
UPDATE queues SET last_sequence = ?, last_turn = ?, lanes = ?, group_count = ?, message_count = ?, in_flight = ?,
       delayed = ?, counted_at = ?, sent_total = ?, received_total = ?, deleted_total = ?,
       busy_period = ?, busy_current_ms = ?, busy_previous_ms = ?
WHERE queue_number = ?;

-- name: delete_queue
-- : queue number
DELETE FROM queues WHERE queue_number = ?;

-- name: insert_orphan
-- : queue number
INSERT INTO orphans (queue_number) VALUES (?);

-- name: rest_name
-- : name, deleted at
INSERT OR REPLACE INTO deleted_queues (name, deleted_at) VALUES (?, ?);

-- name: name_deleted_at
-- : name -> deleted at
SELECT deleted_at FROM deleted_queues WHERE name = ?;

-- name: unrest_name
-- : name
DELETE FROM deleted_queues WHERE name = ?;
