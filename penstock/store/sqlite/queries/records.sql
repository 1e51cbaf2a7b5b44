-- Records and their tags. Parameters in order after the colon; what is returned after the arrow.

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

-- name: record_page_descending
-- : from key, below key, now, limit -> records by key, the greatest first
SELECT key, value, tags, expires_at FROM records
WHERE key >= ? AND key < ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key DESC LIMIT ?;

-- name: record_page_of_tag_descending
-- : tag, from key, below key, now, limit -> records by key, the greatest first
SELECT key, value, tags, expires_at FROM record_tags JOIN records USING (key)
WHERE tag = ? AND key >= ? AND key < ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key DESC LIMIT ?;

-- name: expired_records
-- : now, limit -> keys
SELECT key FROM records WHERE expires_at <= ? LIMIT ?;
