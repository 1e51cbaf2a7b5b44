-- The stored life of messages. Parameters in order after the colon; what is returned after the arrow.

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
