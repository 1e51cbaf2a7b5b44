-- Records and their tags. Parameters in order after the colon; what is returned after the arrow.

-- name: records
-- : keys, now -> key, value, tags, expires at
SELECT key, value, tags, expires_at FROM penstock.records
WHERE key = ANY ($1::bytea[]) AND (expires_at IS NULL OR expires_at > $2);

-- name: delete_records
-- : keys
SELECT penstock.delete_records($1::bytea[]);

-- name: record_page
-- : from key, before key, now, limit -> records by key
SELECT key, value, tags, expires_at FROM penstock.records
WHERE key >= $1 AND key < $2 AND (expires_at IS NULL OR expires_at > $3)
ORDER BY key LIMIT $4;

-- name: record_page_of_tag
-- : from key, before key, now, limit, tag -> records by key
SELECT r.key, r.value, r.tags, r.expires_at FROM penstock.record_tags AS t JOIN penstock.records AS r USING (key)
WHERE t.tag = $5 AND t.key >= $1 AND t.key < $2 AND (r.expires_at IS NULL OR r.expires_at > $3)
ORDER BY t.key LIMIT $4;

-- name: record_page_descending
-- : from key, before key, now, limit -> records by key
SELECT key, value, tags, expires_at FROM penstock.records
WHERE key >= $1 AND key < $2 AND (expires_at IS NULL OR expires_at > $3)
ORDER BY key DESC LIMIT $4;

-- name: record_page_of_tag_descending
-- : from key, before key, now, limit, tag -> records by key
SELECT r.key, r.value, r.tags, r.expires_at FROM penstock.record_tags AS t JOIN penstock.records AS r USING (key)
WHERE t.tag = $5 AND t.key >= $1 AND t.key < $2 AND (r.expires_at IS NULL OR r.expires_at > $3)
ORDER BY t.key DESC LIMIT $4;
