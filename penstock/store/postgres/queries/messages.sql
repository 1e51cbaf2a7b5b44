-- Messages, joins and events as they are shown. Parameters in order after the colon; what is returned after the arrow.

-- name: perform
-- : see functions/performing.sql
SELECT * FROM penstock.perform(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46,
    $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64, $65, $66, $67);

-- name: begin_batch
-- : writer, batch, durability -> whether it has been done
SELECT penstock.begin_batch($1, $2, $3);

-- name: end_batch
-- : writer, batch
SELECT penstock.end_batch($1, $2, '{}');

-- name: batch_of
-- : writer -> the batch it committed last; waits for one under way
SELECT batch FROM penstock.writers WHERE writer = $1 FOR UPDATE;

-- name: next_writer
-- -> a writer number
SELECT nextval('penstock.writer_numbers');

-- name: woken
-- -> wake-ups of this transaction
SELECT name, group_id, instant FROM penstock.woken();

-- name: by_id
-- : action, message ids, only in flight, queue, deliver at, now -> replies
SELECT * FROM penstock.by_id($1, $2, $3, $4, $5, $6);

-- name: release_leases
-- : owner, now -> replies
SELECT * FROM penstock.release_leases($1, $2);

-- name: messages_after
-- : queue name, after sequence number, limit, up to sequence number -> message rows in order of arrival
SELECT m.message_key & 1099511627775 AS sequence, m.message_id, m.visible_at, m.phase, m.priority, m.sent_at,
       m.expires_at, m.receive_count, m.first_received_at, m.dead_letter_source, m.group_id, m.deduplication_id, m.body,
       m.extras, q.name AS queue
FROM penstock.queues AS q, LATERAL (
    SELECT * FROM penstock.messages
    WHERE message_key > (q.queue_number << 40) | $2::bigint AND message_key <= (q.queue_number << 40) | $4::bigint
    ORDER BY message_key LIMIT $3
) AS m
WHERE q.name = $1 ORDER BY m.message_key;

-- name: messages_by_id
-- : message ids -> message rows
SELECT m.message_key & 1099511627775 AS sequence, m.message_id, m.visible_at, m.phase, m.priority, m.sent_at,
       m.expires_at, m.receive_count, m.first_received_at, m.dead_letter_source, m.group_id, m.deduplication_id, m.body,
       m.extras, q.name AS queue
FROM penstock.messages AS m JOIN penstock.queues AS q ON q.queue_number = m.message_key >> 40
WHERE m.message_id = ANY ($1::uuid[]);

-- name: joins_by_message
-- : message ids -> what joins hold
SELECT j.message_id, j.queue, (j.draft).body, (j.draft).group_id, (j.draft).deduplication_id, (j.draft).extras,
       (j.draft).priority, (j.draft).deliver_at
FROM penstock.joins AS j WHERE j.message_id = ANY ($1::uuid[]);

-- name: joins_after
-- : message id, limit -> what joins hold, by message ids
SELECT j.message_id, j.queue, (j.draft).body, (j.draft).group_id, (j.draft).deduplication_id, (j.draft).extras,
       (j.draft).priority, (j.draft).deliver_at
FROM penstock.joins AS j WHERE j.message_id > $1::uuid ORDER BY j.message_id LIMIT $2;

-- name: rewrite_messages
-- : message ids, bodies, extras; of rows that nobody else changes
UPDATE penstock.messages AS m SET body = given.body, extras = given.extras
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS given(message_id, body, extras)
WHERE m.message_id = given.message_id AND m.message_id IN (
    SELECT message_id FROM penstock.messages WHERE message_id = ANY ($1::uuid[]) FOR UPDATE SKIP LOCKED
);

-- name: rewrite_joins
-- : message ids, bodies, extras; of rows that nobody else changes
UPDATE penstock.joins AS j SET draft.body = given.body, draft.extras = given.extras
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS given(message_id, body, extras)
WHERE j.message_id = given.message_id AND j.message_id IN (
    SELECT message_id FROM penstock.joins WHERE message_id = ANY ($1::uuid[]) FOR UPDATE SKIP LOCKED
);

-- name: history
-- : message id -> events
SELECT event_id, at, queue, message_id, kind, detail FROM penstock.events WHERE message_id = $1 ORDER BY event_id;

-- name: events_after
-- : event id, limit -> events
SELECT event_id, at, queue, message_id, kind, detail FROM penstock.events WHERE event_id > $1 ORDER BY event_id LIMIT $2;

-- name: latest_events
-- : limit -> events, latest first
SELECT event_id, at, queue, message_id, kind, detail FROM penstock.events ORDER BY event_id DESC LIMIT $1;
