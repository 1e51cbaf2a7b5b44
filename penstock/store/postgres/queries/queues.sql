-- Queues. Parameters in order after the colon; what is returned after the arrow.

-- name: hold_all
-- : names; takes the locks of queues until the end of the transaction
SELECT penstock.hold_all($1::text[]);

-- name: queue_by_name
-- : name -> queue number, settings, purged at
SELECT queue_number, settings, purged_at FROM penstock.queues WHERE name = $1;

-- name: describe
-- : names, now -> for each that is there what is told of it
SELECT q.name, q.settings, q.created_at, q.modified_at, q.purged_at, s.message_count,
       s.in_flight - ended.in_flight AS in_flight, s.delayed - ended.delayed AS delayed,
       s.sent_total, s.received_total, s.deleted_total, oldest.sent_at AS oldest_sent_at
FROM penstock.queues AS q JOIN penstock.queue_states AS s USING (queue_number)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE phase = 2) AS in_flight, count(*) FILTER (WHERE phase = 1) AS delayed
    FROM penstock.messages AS m
    WHERE m.queue_number = q.queue_number AND visible_at > s.counted_at AND visible_at <= $2 AND phase > 0
) AS ended
LEFT JOIN LATERAL (
    SELECT sent_at FROM penstock.messages AS m
    WHERE m.message_key > (q.queue_number << 40) | greatest(0, s.first_sequence - 1)
        AND m.message_key < (q.queue_number + 1) << 40
    ORDER BY m.message_key LIMIT 1
) AS oldest ON true
WHERE q.name = ANY ($1::text[]) ORDER BY q.name;

-- name: queue_page
-- : prefix, after name, limit, dead-letter queue or NULL -> names
SELECT name FROM penstock.queues
WHERE name >= $1 AND starts_with(name, $1) AND name > $2 AND ($4::text IS NULL OR dead_letter_queue = $4)
ORDER BY name LIMIT $3;

-- name: insert_queue
-- : name, settings, created at, modified at, purged at, what functions ask for -> queue number
INSERT INTO penstock.queues (
    name, settings, created_at, modified_at, purged_at, is_fifo, is_strict, comes_back, is_paused,
    visibility_timeout_ms, delay_ms, retention_ms, receive_wait_ms, max_message_bytes, content_based_deduplication,
    deduplicate_per_group, deduplication_window_ms, max_in_flight, group_max_in_flight, max_receive_count,
    dead_letter_queue, history)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
RETURNING queue_number;

-- name: insert_queue_state
-- : queue number, last sequence, last turn, counted at, sent, received and deleted total
INSERT INTO penstock.queue_states (
    queue_number, last_sequence, first_sequence, last_turn, counted_at, sent_total, received_total, deleted_total,
    floors, head_floors)
VALUES ($1, $2::bigint, $2::bigint + 1, $3, $4, $5, $6, $7, array_fill(0::bigint, ARRAY[21]), array_fill(0::bigint, ARRAY[21]));

-- name: update_queue
-- : name, settings, modified at, what functions ask for
UPDATE penstock.queues SET
    settings = $2, modified_at = $3, is_fifo = $4, is_strict = $5, comes_back = $6, is_paused = $7,
    visibility_timeout_ms = $8, delay_ms = $9, retention_ms = $10, receive_wait_ms = $11, max_message_bytes = $12,
    content_based_deduplication = $13, deduplicate_per_group = $14, deduplication_window_ms = $15, max_in_flight = $16,
    group_max_in_flight = $17, max_receive_count = $18, dead_letter_queue = $19, history = $20
WHERE name = $1;

-- name: settings_changed
-- : name, whether its groups are limited anew, now
SELECT penstock.settings_changed($1, $2, $3);

-- name: take_away
-- : name -> the queue and its state, which are no more; what lies under its number is swept
WITH taken AS (DELETE FROM penstock.queues WHERE name = $1 RETURNING *),
     state AS (DELETE FROM penstock.queue_states USING taken
               WHERE queue_states.queue_number = taken.queue_number RETURNING queue_states.*),
     orphan AS (INSERT INTO penstock.orphans SELECT queue_number FROM taken)
SELECT taken.settings, taken.created_at, taken.modified_at, taken.purged_at, state.last_sequence, state.last_turn,
       state.message_count, state.sent_total, state.received_total, state.deleted_total
FROM taken JOIN state USING (queue_number);

-- name: rest_name
-- : name, deleted at
INSERT INTO penstock.deleted_queues (name, deleted_at) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET deleted_at = excluded.deleted_at;

-- name: name_deleted_at
-- : name -> deleted at
SELECT deleted_at FROM penstock.deleted_queues WHERE name = $1;

-- name: unrest_name
-- : name
DELETE FROM penstock.deleted_queues WHERE name = $1;

-- name: wake_all
-- : name; for whoever waits for a queue that is gone, or has begun anew, or follows in one of its groups
SELECT pg_notify('penstock.', ' ' || $1::text), pg_notify('penstock.', ' ' || $1::text || ' g');

-- name: park
-- : name, group id, whether to park it, now -> whether the queue is there
SELECT penstock.park($1, $2, $3, $4);

-- name: group_page
-- : queue name, after group id, only parked, limit, now -> group rows by id, leases that have ended since they were counted
SELECT g.group_id, g.message_count, g.in_flight, g.ready_at, g.is_parked, g.is_noisy,
       (SELECT count(*) FROM penstock.messages AS m
        WHERE m.queue_number = g.queue_number AND m.visible_at > s.counted_at AND m.visible_at <= $5 AND m.phase > 0
            AND m.phase = 2 AND m.group_key = g.group_key) AS ended
FROM penstock.queues AS q JOIN penstock.queue_states AS s USING (queue_number)
JOIN penstock.groups AS g USING (queue_number)
WHERE q.name = $1 AND g.group_id > $2 AND (g.is_parked OR NOT $3::boolean) ORDER BY g.group_id LIMIT $4;

-- name: awaited_no_more
-- : names -> those where something was told since a receive came up empty
SELECT name FROM penstock.queues JOIN penstock.queue_states USING (queue_number)
WHERE name = ANY ($1::text[]) AND NOT is_awaited;

-- name: followed_no_more
-- : names, group ids -> those where something was told since a receive that follows there came up empty
SELECT wanted.name, wanted.group_id FROM unnest($1::text[], $2::bytea[]) AS wanted(name, group_id)
WHERE NOT EXISTS (
    SELECT FROM penstock.queues AS q JOIN penstock.queue_states AS s USING (queue_number)
    JOIN penstock.groups AS g USING (queue_number)
    WHERE q.name = wanted.name AND g.group_id = wanted.group_id AND g.is_followed
        AND (s.is_followed OR q.max_in_flight IS NULL));
