-- Deduplication ids and receive attempts. Parameters in order after the colon; what is returned after the arrow.

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
