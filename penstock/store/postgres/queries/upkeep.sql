-- Moves and the sweep. Parameters in order after the colon; what is returned after the arrow.

-- name: put_move
-- : move id, source, started at, is running, move
INSERT INTO penstock.moves (move_id, source, started_at, is_running, move) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (move_id) DO UPDATE SET is_running = excluded.is_running, move = excluded.move;

-- name: move_by_id
-- : move id -> move
SELECT move FROM penstock.moves WHERE move_id = $1 FOR UPDATE;

-- name: running_moves
-- -> moves, first started first
SELECT move FROM penstock.moves WHERE is_running ORDER BY started_at, move_id FOR UPDATE;

-- name: running_move_of
-- : source -> 1
SELECT 1 FROM penstock.moves WHERE source = $1 AND is_running LIMIT 1;

-- name: moves_of
-- : source, limit -> moves, latest first
SELECT move FROM penstock.moves WHERE source = $1 ORDER BY started_at DESC, move_id DESC LIMIT $2;

-- name: queue_extent
-- : name -> how many messages it holds, the last sequence number it has given out
SELECT s.message_count, s.last_sequence FROM penstock.queues JOIN penstock.queue_states AS s USING (queue_number)
WHERE name = $1;

-- name: move_messages
-- : source, target, message keys, their new ids, now
SELECT penstock.move_messages($1, $2, $3, $4, $5);

-- name: queue_number
-- : name -> queue number
SELECT queue_number FROM penstock.queues WHERE name = $1;

-- name: expired_messages
-- : now, limit -> queue, message keys
SELECT q.name, array_agg(e.message_key) FROM (
    SELECT message_key, queue_number FROM penstock.messages WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
) AS e JOIN penstock.queues AS q USING (queue_number) GROUP BY q.name;

-- name: queues_to_sweep
-- : now -> names of the queues that hold messages, of which some may be forgotten or counts are behind
SELECT q.name FROM penstock.queues AS q JOIN penstock.queue_states AS s USING (queue_number)
WHERE s.message_count > 0 OR s.first_sequence <= s.last_sequence ORDER BY q.name;

-- name: sweep_queue
-- : name, keys of messages past their own time, how many may go by retention, now -> how many were forgotten
SELECT penstock.sweep_queue($1, $2, $3, $4);

-- name: sweep_rest
-- : limit, moves started before, names deleted before, events kept, now -> how many were forgotten
SELECT penstock.sweep_rest($1, $2, $3, $4, $5);

-- name: any_running_move
-- -> 1 if a move runs
SELECT 1 FROM penstock.moves WHERE is_running LIMIT 1;

-- name: server_settings
-- -> what `penstock check` looks at
SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('autovacuum') AS autovacuum,
       current_setting('max_connections')::integer AS max_connections,
       (SELECT count(*)::integer FROM pg_stat_activity WHERE backend_type = 'client backend') AS used_connections,
       coalesce((SELECT extract(epoch FROM max(now() - xact_start)) FROM pg_stat_activity
                 WHERE backend_type = 'client backend'), 0)::float8 AS oldest_seconds;

-- name: every_settings
-- -> name, settings of each queue
SELECT name, settings FROM penstock.queues;

-- name: every_running_move
-- -> move id, move
SELECT move_id, move FROM penstock.moves WHERE is_running;

-- name: oldest_bodies
-- -> name of each queue that holds messages, body of its oldest
SELECT q.name, oldest.body FROM penstock.queues AS q JOIN penstock.queue_states AS s USING (queue_number)
CROSS JOIN LATERAL (
    SELECT body FROM penstock.messages AS m
    WHERE m.message_key > (q.queue_number << 40) | greatest(0, s.first_sequence - 1)
        AND m.message_key < (q.queue_number + 1) << 40
    ORDER BY m.message_key LIMIT 1
) AS oldest;
