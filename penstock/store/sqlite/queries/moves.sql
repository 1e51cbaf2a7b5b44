-- Move tasks. Parameters in order after the colon; what is returned after the arrow.

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
