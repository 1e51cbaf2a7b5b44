-- Every statement of the SQLite store, by name. Parameters in order after the colon; what is returned after the arrow.

-- == queues ==

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

-- == messages ==

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
-- : now, position, message key
UPDATE messages SET visible_at = ?, position = ?, phase = 0, token = NULL, owner = NULL,
       receive_count = receive_count - 1
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

-- == groups ==

-- name: group_by_id
-- : queue number, group id -> a whole group row
SELECT group_key, group_id, lane, ready_at, turn, head_key, head_visible_at, message_count, in_flight, is_parked,
       is_noisy, last_sent_at, busy_period, busy_current_ms, busy_previous_ms
FROM groups WHERE queue_number = ? AND group_id = ?;

-- name: group_by_key
-- : group key -> a whole group row
SELECT group_key, group_id, lane, ready_at, turn, head_key, head_visible_at, message_count, in_flight, is_parked,
       is_noisy, last_sent_at, busy_period, busy_current_ms, busy_previous_ms
FROM groups WHERE group_key = ?;

-- name: group_page
-- : queue number, after group id, only parked, limit -> whole group rows by id
SELECT group_key, group_id, lane, ready_at, turn, head_key, head_visible_at, message_count, in_flight, is_parked,
       is_noisy, last_sent_at, busy_period, busy_current_ms, busy_previous_ms
FROM groups WHERE queue_number = ? AND group_id > ? AND is_parked >= ? ORDER BY group_id LIMIT ?;

-- name: insert_group
-- : queue number, group id -> group key
INSERT INTO groups (queue_number, group_id) VALUES (?, ?) RETURNING group_key;

-- name: update_group_counts
-- : message count, in flight, is noisy, last sent at, busy times, group key
UPDATE groups SET message_count = ?, in_flight = ?, is_noisy = ?, last_sent_at = ?,
       busy_period = ?, busy_current_ms = ?, busy_previous_ms = ?
WHERE group_key = ?;

-- name: update_group
-- : lane, ready at, turn, head key, head visible at, message count, in flight, is parked, is noisy, last sent at, busy
--   times, group key
UPDATE groups SET lane = ?, ready_at = ?, turn = ?, head_key = ?, head_visible_at = ?, message_count = ?, in_flight = ?,
       is_parked = ?, is_noisy = ?, last_sent_at = ?, busy_period = ?, busy_current_ms = ?, busy_previous_ms = ?
WHERE group_key = ?;

-- name: delete_group
-- : group key
DELETE FROM groups WHERE group_key = ?;

-- name: groups_of
-- : queue number -> whole group rows
SELECT group_key, group_id, lane, ready_at, turn, head_key, head_visible_at, message_count, in_flight, is_parked,
       is_noisy, last_sent_at, busy_period, busy_current_ms, busy_previous_ms
FROM groups WHERE queue_number = ?;

-- name: lapse_group
-- : how many leases ended, group key
UPDATE groups SET in_flight = in_flight - ? WHERE group_key = ?;

-- name: first_ready_head
-- : queue number, lane, now -> ready at, turn, group key of the group whose turn it is
SELECT ready_at, turn, group_key FROM groups
WHERE queue_number = ? AND lane = ? AND ready_at <= ? ORDER BY ready_at, turn LIMIT 1;

-- name: ready_heads
-- : queue number, lane, now, limit -> whole group rows whose turn it is, in order
SELECT group_key, group_id, lane, ready_at, turn, head_key, head_visible_at, message_count, in_flight, is_parked,
       is_noisy, last_sent_at, busy_period, busy_current_ms, busy_previous_ms
FROM groups WHERE queue_number = ? AND lane = ? AND ready_at <= ? ORDER BY ready_at, turn LIMIT ?;

-- name: next_due_head
-- : queue number, lane, now -> the first instant after now at which a group's head becomes receivable
SELECT ready_at FROM groups WHERE queue_number = ? AND lane = ? AND ready_at > ? ORDER BY ready_at LIMIT 1;

-- name: freed_at
-- : group key, now, limit - 1 -> when the group's lease that ends so many before the last does
SELECT visible_at FROM messages WHERE group_key = ? AND phase = 2 AND visible_at > ?
ORDER BY visible_at DESC LIMIT 1 OFFSET ?;

-- == deduplication ==

-- name: duplicate
-- : queue number, key, now -> message id, sequence number
SELECT message_id, sequence FROM duplicates WHERE queue_number = ? AND key = ? AND kept_until > ?;

-- name: remember_duplicate
-- : queue number, key, message id, sequence number, kept until
INSERT OR REPLACE INTO duplicates (queue_number, key, message_id, sequence, kept_until) VALUES (?, ?, ?, ?, ?);

-- name: attempt
-- : queue number, attempt id, now -> leases
SELECT leases FROM attempts WHERE queue_number = ? AND attempt_id = ? AND kept_until > ?;

-- name: remember_attempt
-- : queue number, attempt id, leases, kept until
INSERT OR REPLACE INTO attempts (queue_number, attempt_id, leases, kept_until) VALUES (?, ?, ?, ?);

-- == joins ==

-- name: any_join
-- -> 1 if there is a join
SELECT 1 FROM joins LIMIT 1;

-- name: join_by_id
-- : join id -> parts, follow up
SELECT parts, follow_up FROM joins WHERE join_id = ?;

-- name: join_by_message
-- : message id -> join id, follow up
SELECT join_id, follow_up FROM joins WHERE message_id = ?;

-- name: insert_join
-- : join id, parts, message id, follow up, expires at; nothing if the join or the message is there
INSERT OR IGNORE INTO joins (join_id, parts, message_id, follow_up, expires_at) VALUES (?, ?, ?, ?, ?);

-- name: update_join
-- : follow up, join id
UPDATE joins SET follow_up = ? WHERE join_id = ?;

-- name: delete_join
-- : join id
DELETE FROM joins WHERE join_id = ?;

-- name: delete_join_parts
-- : join id
DELETE FROM join_parts WHERE join_id = ?;

-- name: insert_join_part
-- : join id, part id
INSERT OR IGNORE INTO join_parts (join_id, part_id) VALUES (?, ?);

-- name: count_join_parts
-- : join id -> how many parts have arrived
SELECT count(*) FROM join_parts WHERE join_id = ?;

-- name: expired_joins
-- : now, limit -> join ids
SELECT join_id FROM joins WHERE expires_at <= ? LIMIT ?;

-- == records ==

-- name: record
-- : key, now -> key, value, tags, expires at
SELECT key, value, tags, expires_at FROM records WHERE key = ? AND (expires_at IS NULL OR expires_at > ?);

-- name: put_record
-- : key, value, tags, expires at
INSERT OR REPLACE INTO records (key, value, tags, expires_at) VALUES (?, ?, ?, ?);

-- name: record_tags
-- : key -> tags
SELECT tags FROM records WHERE key = ?;

-- name: delete_record
-- : key
DELETE FROM records WHERE key = ?;

-- name: insert_record_tag
-- : tag, key
INSERT OR IGNORE INTO record_tags (tag, key) VALUES (?, ?);

-- name: delete_record_tag
-- : tag, key
DELETE FROM record_tags WHERE tag = ? AND key = ?;

-- name: record_page
-- : from key, below key, after key, now, limit -> records by key
SELECT key, value, tags, expires_at FROM records
WHERE key >= ? AND key < ? AND key > ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key LIMIT ?;

-- name: record_page_of_tag
-- : tag, from key, below key, after key, now, limit -> records by key
SELECT key, value, tags, expires_at FROM record_tags JOIN records USING (key)
WHERE tag = ? AND key >= ? AND key < ? AND key > ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key LIMIT ?;

-- name: expired_records
-- : now, limit -> keys
SELECT key FROM records WHERE expires_at <= ? LIMIT ?;

-- == moves ==

-- name: put_move
-- : move id, source, started at, is running, move
INSERT OR REPLACE INTO moves (move_id, source, started_at, is_running, move) VALUES (?, ?, ?, ?, ?);

-- name: move_by_id
-- : move id -> move
SELECT move FROM moves WHERE move_id = ?;

-- name: running_moves
-- -> moves, first started first
SELECT move FROM moves WHERE is_running ORDER BY started_at, move_id;

-- name: running_move_of
-- : source -> 1
SELECT 1 FROM moves WHERE source = ? AND is_running LIMIT 1;

-- name: moves_of
-- : source, limit -> moves, latest first
SELECT move FROM moves WHERE source = ? ORDER BY started_at DESC, move_id DESC LIMIT ?;

-- name: sweep_moves
-- : started before
DELETE FROM moves WHERE NOT is_running AND started_at <= ?;

-- == events ==

-- name: insert_event
-- : at, queue, message id, kind, detail
INSERT INTO events (at, queue, message_id, kind, detail) VALUES (?, ?, ?, ?, ?);

-- name: history
-- : message id -> events
SELECT event_id, at, queue, message_id, kind, detail FROM events WHERE message_id = ? ORDER BY event_id;

-- name: events_after
-- : event id, limit -> events
SELECT event_id, at, queue, message_id, kind, detail FROM events WHERE event_id > ? ORDER BY event_id LIMIT ?;

-- name: latest_events
-- : limit -> events, latest first
SELECT event_id, at, queue, message_id, kind, detail FROM events ORDER BY event_id DESC LIMIT ?;

-- == upkeep ==

-- name: sweep_events
-- : how many are kept; ids have no gaps
DELETE FROM events WHERE event_id <= (SELECT max(event_id) FROM events) - ?;

-- name: expired_messages
-- : now, limit -> message keys
SELECT message_key, queue_number FROM messages WHERE expires_at <= ? LIMIT ?;

-- name: sent_before
-- : after message key, below message key, limit -> message key, sent at in order of arrival
SELECT message_key, sent_at FROM messages WHERE message_key > ? AND message_key < ? ORDER BY message_key LIMIT ?;

-- name: queue_names
-- -> the names of all queues
SELECT name FROM queues;

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
