-- Joins and the parts that have arrived. Parameters in order after the colon; what is returned after the arrow.

-- name: any_join
-- -> 1 if there is a join
SELECT 1 FROM joins LIMIT 1;

-- name: join_by_id
-- : join id -> parts, expires at; not the follow-up, which may be large and is wanted only at the end
SELECT parts, expires_at FROM joins WHERE join_id = ?;

-- name: join_follow_up
-- : join id -> follow up
SELECT follow_up FROM joins WHERE join_id = ?;

-- name: join_by_message
-- : message id -> join id, follow up
SELECT join_id, follow_up FROM joins WHERE message_id = ?;

-- name: joins_after
-- : message id, limit -> follow ups, by the ids of their messages
SELECT follow_up FROM joins WHERE message_id > ? ORDER BY message_id LIMIT ?;

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

-- name: delete_join_count
-- : join id
DELETE FROM join_counts WHERE join_id = ?;

-- name: insert_join_part
-- : join id, part id -> a row if the part had not arrived before
INSERT OR IGNORE INTO join_parts (join_id, part_id) VALUES (?, ?) RETURNING 1;

-- name: count_arrival
-- : join id -> how many parts have arrived, this one included
INSERT INTO join_counts (join_id, arrived) VALUES (?, 1) ON CONFLICT DO UPDATE SET arrived = arrived + 1 RETURNING arrived;

-- name: expired_joins
-- : now, limit -> join ids
SELECT join_id FROM joins WHERE expires_at <= ? LIMIT ?;
