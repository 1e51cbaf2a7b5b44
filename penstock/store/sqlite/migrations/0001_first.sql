-- The whole schema of version 1.
--
-- A message's key is (queue number << 40 | sequence number): the messages of a queue lie together, in order of arrival,
-- and a receipt handle leads to its row without an index. Purging or deleting a queue takes its number away; the sweep
-- forgets what lies under numbers listed in `orphans`.
--
-- Instants are ms since the epoch.

CREATE TABLE queues (
    queue_number        INTEGER PRIMARY KEY AUTOINCREMENT,
    name                TEXT NOT NULL UNIQUE,
    settings            BLOB NOT NULL,              -- JSON of QueueSettings
    dead_letter_queue   TEXT,                       -- from the settings, to find a queue's sources
    created_at          INTEGER NOT NULL,
    modified_at         INTEGER NOT NULL,
    purged_at           INTEGER,
    last_sequence       INTEGER NOT NULL DEFAULT 0,
    last_turn           INTEGER NOT NULL DEFAULT 0,
    lanes               INTEGER NOT NULL DEFAULT 0, -- bit per lane that a message was put in since the queue was empty
    group_count         INTEGER NOT NULL DEFAULT 0,
    message_count       INTEGER NOT NULL DEFAULT 0,
    in_flight           INTEGER NOT NULL DEFAULT 0, -- leased at counted_at
    delayed             INTEGER NOT NULL DEFAULT 0, -- delayed at counted_at
    counted_at          INTEGER NOT NULL DEFAULT 0,
    sent_total          INTEGER NOT NULL DEFAULT 0,
    received_total      INTEGER NOT NULL DEFAULT 0,
    deleted_total       INTEGER NOT NULL DEFAULT 0,
    busy_period         INTEGER NOT NULL DEFAULT 0,
    busy_current_ms     INTEGER NOT NULL DEFAULT 0,
    busy_previous_ms    INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX queues_by_dead_letter_queue ON queues (dead_letter_queue) WHERE dead_letter_queue IS NOT NULL;

CREATE INDEX queues_with_messages ON queues (queue_number) WHERE message_count > 0;

CREATE TABLE deleted_queues (
    name        TEXT PRIMARY KEY,
    deleted_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE orphans (queue_number INTEGER PRIMARY KEY) STRICT;

-- A short body lies in its message's row, so that a message is one row; a long one lies apart, so that leasing a message does
-- not write it again.
CREATE TABLE messages (
    message_key         INTEGER PRIMARY KEY,
    queue_number        INTEGER NOT NULL,
    message_id          BLOB NOT NULL,
    group_key           INTEGER NOT NULL,           -- groups.group_key; minus the queue number: no group
    rank                INTEGER NOT NULL,           -- its lane; 0 in a strict group
    position            INTEGER NOT NULL,           -- visible_at; in a strict group the sequence number
    visible_at          INTEGER NOT NULL,
    phase               INTEGER NOT NULL,           -- 0 sent without delay, 1 delayed, 2 handed out
    priority            INTEGER NOT NULL,
    sent_at             INTEGER NOT NULL,
    expires_at          INTEGER,                    -- by its own time to live
    receive_count       INTEGER NOT NULL DEFAULT 0,
    carried_count       INTEGER NOT NULL DEFAULT 0, -- receives in queues it was dead-lettered from
    first_received_at   INTEGER,
    received_at         INTEGER,
    token               BLOB,                       -- of the latest delivery
    owner               TEXT,
    dead_letter_source  TEXT,
    extras              BLOB,                       -- msgpack of Extras; NULL when there are none
    body                TEXT                        -- NULL: it is long and lies in bodies
) STRICT;

CREATE UNIQUE INDEX messages_by_id ON messages (message_id);
CREATE INDEX messages_in_order ON messages (group_key, rank, position);
CREATE INDEX messages_timed ON messages (queue_number, visible_at, phase, group_key) WHERE phase > 0;
CREATE INDEX messages_by_owner ON messages (owner) WHERE owner IS NOT NULL;
CREATE INDEX messages_expiring ON messages (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE bodies (
    message_key INTEGER PRIMARY KEY,
    body        TEXT NOT NULL
) STRICT;

-- Message groups that hold messages or are parked: the index of group heads that receives choose from. What is counted, and
-- busy times, are for fair order; in a strict group they stay 0, so that a message sent behind others leaves its row alone.
CREATE TABLE groups (
    group_key           INTEGER PRIMARY KEY,
    queue_number        INTEGER NOT NULL,
    group_id            TEXT NOT NULL,
    lane                INTEGER NOT NULL DEFAULT 0, -- of its head; 20: noisy
    ready_at            INTEGER,                    -- when its head may be received; NULL: parked or empty
    turn                INTEGER NOT NULL DEFAULT 0,
    head_key            INTEGER,
    head_visible_at     INTEGER,
    message_count       INTEGER NOT NULL DEFAULT 0,
    in_flight           INTEGER NOT NULL DEFAULT 0, -- leased at the queue's counted_at
    is_parked           INTEGER NOT NULL DEFAULT 0,
    is_noisy            INTEGER NOT NULL DEFAULT 0,
    last_sent_at        INTEGER NOT NULL DEFAULT 0,
    busy_period         INTEGER NOT NULL DEFAULT 0,
    busy_current_ms     INTEGER NOT NULL DEFAULT 0,
    busy_previous_ms    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (queue_number, group_id)
) STRICT;

CREATE INDEX groups_by_turn ON groups (queue_number, lane, ready_at, turn) WHERE ready_at IS NOT NULL;

CREATE TABLE duplicates (
    queue_number    INTEGER NOT NULL,
    key             BLOB NOT NULL,                  -- scope and deduplication id, or a hash of both
    message_id      BLOB NOT NULL,
    sequence        INTEGER NOT NULL,
    kept_until      INTEGER NOT NULL,
    PRIMARY KEY (queue_number, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX duplicates_by_end ON duplicates (kept_until);

CREATE TABLE attempts (
    queue_number    INTEGER NOT NULL,
    attempt_id      TEXT NOT NULL,
    leases          BLOB NOT NULL,                  -- msgpack of [(sequence number, token)]
    kept_until      INTEGER NOT NULL,
    PRIMARY KEY (queue_number, attempt_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_end ON attempts (kept_until);

CREATE TABLE joins (
    join_id     TEXT PRIMARY KEY,
    parts       INTEGER NOT NULL,
    message_id  BLOB NOT NULL UNIQUE,
    expires_at  INTEGER,
    follow_up   BLOB NOT NULL                       -- msgpack of FollowUp; last: it may be large, and is rarely wanted
) STRICT, WITHOUT ROWID;

CREATE INDEX joins_expiring ON joins (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE join_parts (
    join_id     TEXT NOT NULL,
    part_id     TEXT NOT NULL,
    PRIMARY KEY (join_id, part_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    key         TEXT PRIMARY KEY,
    value       BLOB NOT NULL,
    tags        BLOB NOT NULL,                      -- JSON object
    expires_at  INTEGER
) STRICT;

CREATE INDEX records_expiring ON records (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE record_tags (
    tag         TEXT NOT NULL,                      -- name=value
    key         TEXT NOT NULL,
    PRIMARY KEY (tag, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE moves (
    move_id     TEXT PRIMARY KEY,
    source      TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    is_running  INTEGER NOT NULL,
    move        BLOB NOT NULL                       -- JSON of Move
) STRICT;

CREATE INDEX moves_running ON moves (started_at, move_id) WHERE is_running;
CREATE INDEX moves_by_source ON moves (source, started_at, move_id);

CREATE TABLE events (
    event_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    queue       TEXT NOT NULL,
    message_id  BLOB NOT NULL,
    kind        TEXT NOT NULL,
    detail      TEXT
) STRICT;

CREATE INDEX events_by_message ON events (message_id, event_id);
