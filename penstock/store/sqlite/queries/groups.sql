-- Message groups and the index of their heads. Parameters in order after the colon; what is returned after the arrow.

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

-- name: seat_group
-- : lane, ready at, turn, head key, head visible at, is parked, group key
UPDATE groups SET lane = ?, ready_at = ?, turn = ?, head_key = ?, head_visible_at = ?, is_parked = ? WHERE group_key = ?;

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

-- name: first_ready_heads
-- : queue number, lane, now, limit -> ready at, group key, head key of the groups whose turn it is, in order
SELECT ready_at, group_key, head_key FROM groups
WHERE queue_number = ? AND lane = ? AND ready_at <= ? ORDER BY ready_at, turn LIMIT ?;

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
