-- Sending: one by one where rules apply, many in one statement where none does, and from a user's own transaction.

-- Purpose: whether a queue refuses a draft. The rule is core.lifecycle.refusal, which also has the words.
CREATE OR REPLACE FUNCTION penstock.refuses(q penstock.queues, d penstock.draft) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN d.size_bytes > q.max_message_bytes
        OR (q.is_fifo AND (d.group_id IS NULL
                           OR (d.deduplication_id IS NULL AND NOT q.content_based_deduplication)));
END $$;

-- Purpose: keep one message, unless it is a duplicate or refused.
-- Returns: the state after it, and what became of it: 0 kept, 1 duplicate of the message named, 2 refused.
CREATE OR REPLACE FUNCTION penstock.send_one(
    q penstock.queues, s penstock.queue_states, d penstock.draft, moment bigint
) RETURNS penstock.sending LANGUAGE plpgsql AS $$
DECLARE
    m penstock.messages;
    found_id uuid;
    found_key bigint;
    known_by bytea;
    kept penstock.step;
BEGIN
    IF penstock.refuses(q, d) THEN
        RETURN (s, 2, d.message_id, 0::bigint);
    END IF;
    IF d.deduplication_id IS NULL AND q.content_based_deduplication THEN
        d.deduplication_id := convert_to(encode(sha256(d.body), 'hex'), 'UTF8');
    END IF;
    IF d.deduplication_id IS NOT NULL THEN
        known_by := CASE WHEN q.deduplicate_per_group THEN coalesce(d.group_id, '') ELSE '' END || '\x00'::bytea
            || d.deduplication_id;
        IF octet_length(known_by) > 1000 THEN
            -- an index takes no keys of any length; no text begins like this: it is not UTF-8
            known_by := '\xff'::bytea || sha256(known_by);
        END IF;
        SELECT message_id, sequence INTO found_id, found_key FROM penstock.duplicates
        WHERE queue_number = s.queue_number AND key = known_by AND kept_until > moment;
        IF FOUND THEN
            RETURN (s, 1, found_id, found_key);
        END IF;
    END IF;
    SELECT message_key INTO found_key FROM penstock.messages WHERE message_id = d.message_id;
    IF FOUND THEN
        IF EXISTS (SELECT FROM penstock.queues WHERE queue_number = found_key >> 40) THEN
            RETURN (s, 1, d.message_id, found_key);
        END IF;
        -- a remnant of a purged queue, which the sweep has not come to yet
        DELETE FROM penstock.messages WHERE message_key = found_key;
    END IF;
    IF EXISTS (SELECT FROM penstock.joins WHERE message_id = d.message_id) THEN
        RETURN (s, 1, d.message_id, 0::bigint);
    END IF;
    m.message_id := d.message_id;
    m.body := d.body;
    m.extras := d.extras;
    m.group_id := d.group_id;
    m.deduplication_id := d.deduplication_id;
    m.priority := d.priority;
    m.sent_at := moment;
    m.visible_at := CASE WHEN d.deliver_at IS NULL THEN moment + coalesce(d.delay_ms, q.delay_ms)
                         ELSE greatest(moment, d.deliver_at) END;
    m.expires_at := moment + d.live_ms;
    m.receive_count := 0;
    m.carried_count := 0;
    kept := penstock.keep(q, s, m, moment);
    s := kept.s;
    IF known_by IS NOT NULL THEN
        INSERT INTO penstock.duplicates (queue_number, key, message_id, sequence, kept_until)
        VALUES (s.queue_number, known_by, d.message_id, s.last_sequence, moment + q.deduplication_window_ms)
        ON CONFLICT (queue_number, key) DO UPDATE
        SET message_id = excluded.message_id, sequence = excluded.sequence, kept_until = excluded.kept_until;
    END IF;
    IF q.history = 2 THEN
        PERFORM penstock.note(q, 'sent', ARRAY[d.message_id], moment, NULL);
    END IF;
    RETURN (s, 0, d.message_id, (s.queue_number << 40) | s.last_sequence);
END $$;

-- Purpose: keep many messages that no rule can touch, in one statement.
-- Arguments: parallel arrays, one entry for each draft: no groups, no deduplication ids, sizes within the limit.
-- Returns: the state after it. Raises unique_violation when an id is kept already.
CREATE OR REPLACE FUNCTION penstock.send_plain(
    q penstock.queues, s penstock.queue_states, ids uuid[], bodies bytea[], extras bytea[], priorities integer[],
    delays_ms bigint[], deliver_ats bigint[], lives_ms bigint[], moments bigint[]
) RETURNS penstock.queue_states LANGUAGE plpgsql AS $$
DECLARE
    lane record;
    first_at bigint;
BEGIN
    FOR lane IN
        WITH kept AS (
            INSERT INTO penstock.messages (message_key, message_id, queue_number, group_key, rank, position, visible_at,
                                           phase, priority, sent_at, expires_at, body, extras)
            SELECT (s.queue_number << 40) | (s.last_sequence + d.number), d.id, s.queue_number, -s.queue_number,
                   2 * (9 - d.priority) + 1, due.at, due.at, CASE WHEN due.at <= d.moment THEN 0 ELSE 1 END,
                   d.priority, d.moment, d.moment + d.live_ms, d.body, d.extras
            FROM unnest(ids, bodies, extras, priorities, delays_ms, deliver_ats, lives_ms, moments) WITH ORDINALITY
                     AS d(id, body, extras, priority, delay_ms, deliver_at, live_ms, moment, number),
                 LATERAL (SELECT CASE WHEN d.deliver_at IS NULL THEN d.moment + coalesce(d.delay_ms, q.delay_ms)
                                      ELSE greatest(d.moment, d.deliver_at) END AS at) AS due
            RETURNING rank, visible_at, phase
        )
        SELECT rank, min(visible_at) AS first_at,
               count(*) FILTER (WHERE phase = 1 AND visible_at > s.counted_at) AS delayed
        FROM kept GROUP BY rank
    LOOP
        s.lanes := s.lanes | (1 << lane.rank);
        s.delayed := s.delayed + lane.delayed;
        IF lane.first_at < s.floors[lane.rank + 1] THEN
            s.floors[lane.rank + 1] := lane.first_at;
        END IF;
        first_at := least(first_at, lane.first_at);
    END LOOP;
    s.last_sequence := s.last_sequence + cardinality(ids);
    s.sent_total := s.sent_total + cardinality(ids);
    s.message_count := s.message_count + cardinality(ids);
    IF q.history = 2 THEN
        PERFORM penstock.note(q, 'sent', ids, moments[1], NULL);
    END IF;
    RETURN penstock.wake(q.name, s, first_at);
END $$;

-- Purpose: keep messages in one queue.
-- Arguments: parallel arrays, one entry for each draft; `owner`: what the first one is called in the replies.
-- Returns: 'S': so many (`number`) kept, with keys from `message_key` on; or an 's' for each draft: `code` as of
-- send_one, with the settings in `extras` where it was refused; or 'q': the queue is not there, for so many (`number`).
CREATE OR REPLACE FUNCTION penstock.send_batch(
    queue_name text, owner integer, ids uuid[], bodies bytea[], sizes bigint[], group_ids bytea[],
    deduplication_ids bytea[], extras bytea[], priorities integer[], delays_ms bigint[], deliver_ats bigint[],
    lives_ms bigint[], moments bigint[]
) RETURNS SETOF penstock.reply LANGUAGE plpgsql AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states := penstock.hold(queue_name);
    before bigint;
    sent penstock.sending;
    answer penstock.reply;
BEGIN
    answer.owner := owner;
    answer.number := cardinality(ids);
    IF s.queue_number IS NULL THEN
        answer.kind := 'q';
        RETURN NEXT answer;
        RETURN;
    END IF;
    SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
    before := s.last_sequence;
    IF NOT q.is_fifo AND NOT q.content_based_deduplication
        AND NOT EXISTS (
            SELECT FROM unnest(sizes, group_ids, deduplication_ids) AS d(size_bytes, group_id, deduplication_id)
            WHERE d.size_bytes > q.max_message_bytes OR d.group_id IS NOT NULL OR d.deduplication_id IS NOT NULL
        )
        AND NOT EXISTS (SELECT FROM penstock.joins WHERE message_id = ANY (ids))
    THEN
        BEGIN
            s := penstock.send_plain(q, s, ids, bodies, extras, priorities, delays_ms, deliver_ats, lives_ms, moments);
            PERFORM penstock.save(s);
            answer.kind := 'S';
            answer.message_key := (s.queue_number << 40) | (before + 1);
            RETURN NEXT answer;
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            s := penstock.hold(queue_name);
        END;
    END IF;
    answer.kind := 's';
    FOR each IN 1..cardinality(ids) LOOP
        sent := penstock.send_one(q, s, (
            ids[each], bodies[each], sizes[each], group_ids[each], deduplication_ids[each], extras[each],
            priorities[each], delays_ms[each], deliver_ats[each], lives_ms[each]
        )::penstock.draft, moments[each]);
        s := sent.s;
        answer.owner := owner + each - 1;
        answer.code := sent.code;
        answer.message_id := sent.message_id;
        answer.message_key := sent.message_key;
        answer.extras := CASE WHEN sent.code = 2 THEN q.settings END;
        RETURN NEXT answer;
    END LOOP;
    PERFORM penstock.save(s);
END $$;

-- Purpose: the size of a message as limits count it (core.messages.size_of).
CREATE OR REPLACE FUNCTION penstock.size_of(body text, attributes jsonb) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT octet_length(convert_to(body, 'UTF8')) + coalesce(sum(
        octet_length(convert_to(name || coalesce(value ->> 'data_type', 'String'), 'UTF8'))
        + coalesce(octet_length(convert_to(value ->> 'string_value', 'UTF8')), 0)
        + coalesce(octet_length(decode(value ->> 'binary_value', 'base64')), 0)
    ), 0)::bigint
    FROM jsonb_each(coalesce(attributes, '{}')) AS given(name, value)
$$;

-- Purpose: send a message when this transaction commits, or not at all.
-- Arguments: the queue, the body, and what else a draft may have, as JSON: group_id, deduplication_id, priority,
-- delay_seconds, deliver_at (ms since the epoch), time_to_live_seconds, message_id, sender_id, attributes (name to
-- {"data_type", "string_value" or "binary_value" in base64}).
-- Returns: the message's id. What a queue refuses is raised at once (SQLSTATE PS400; hint and message are for people).
-- Duplicates are recognised at the commit; the queue is held from the commit's beginning to its end and no longer.
CREATE OR REPLACE FUNCTION penstock.send(queue text, body text, options jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    q penstock.queues;
    d penstock.draft;
    unknown text;
    more jsonb;
BEGIN
    SELECT * INTO q FROM penstock.queues WHERE name = queue;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no queue ''%''.', queue
            USING ERRCODE = 'PS404', HINT = 'Create it, or mind its spelling.';
    END IF;
    SELECT string_agg(name, ', ') INTO unknown FROM jsonb_object_keys(options) AS name
    WHERE name NOT IN ('group_id', 'deduplication_id', 'priority', 'delay_seconds', 'deliver_at',
                       'time_to_live_seconds', 'message_id', 'sender_id', 'attributes', 'system_attributes');
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'A message has no %.', unknown USING ERRCODE = 'PS400', HINT = 'Leave it out.';
    END IF;
    d.message_id := coalesce((options ->> 'message_id')::uuid, gen_random_uuid());
    d.body := convert_to(body, 'UTF8');
    d.size_bytes := penstock.size_of(body, options -> 'attributes');
    d.group_id := convert_to(options ->> 'group_id', 'UTF8');
    d.deduplication_id := convert_to(options ->> 'deduplication_id', 'UTF8');
    d.priority := coalesce((options ->> 'priority')::integer, 0);
    d.delay_ms := round((options ->> 'delay_seconds')::numeric * 1000);
    d.deliver_at := (options ->> 'deliver_at')::bigint;
    d.live_ms := round((options ->> 'time_to_live_seconds')::numeric * 1000);
    more := jsonb_strip_nulls(jsonb_build_object(
        'sender_id', options -> 'sender_id', 'attributes', options -> 'attributes',
        'system_attributes', options -> 'system_attributes'));
    IF more <> '{}' THEN
        d.extras := convert_to(more::text, 'UTF8');
    END IF;
    IF d.priority NOT BETWEEN 0 AND 9 OR d.delay_ms < 0 OR d.live_ms <= 0 THEN
        RAISE EXCEPTION 'The priority is 0 to 9, a delay is not negative, a time to live positive.'
            USING ERRCODE = 'PS400';
    END IF;
    IF d.size_bytes > q.max_message_bytes THEN
        RAISE EXCEPTION 'The message has % bytes; this queue accepts at most %.', d.size_bytes, q.max_message_bytes
            USING ERRCODE = 'PS400', HINT = 'Send less or raise max_message_bytes.';
    END IF;
    IF penstock.refuses(q, d) THEN
        RAISE EXCEPTION 'A message for a FIFO queue needs a group and a deduplication id.'
            USING ERRCODE = 'PS400', HINT = 'Set content_based_deduplication on the queue to do without the latter.';
    END IF;
    INSERT INTO penstock.outgoing (queue, draft) VALUES (queue, d);
    RETURN d.message_id;
END $$;

-- Purpose: at the commit of a user's transaction, send all that it has put into `outgoing`. Runs for each row; the first
-- does the work for all, with the queues held in the order in which everybody holds them.
CREATE OR REPLACE FUNCTION penstock.send_outgoing() RETURNS trigger LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    waiting record;
    q penstock.queues;
    s penstock.queue_states;
    sent penstock.sending;
    moment bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM penstock.outgoing WHERE outgoing_key = NEW.outgoing_key) THEN
        RETURN NULL;
    END IF;
    PERFORM penstock.hold_all(ARRAY(
        SELECT DISTINCT queue FROM penstock.outgoing WHERE transaction_id = pg_current_xact_id()));
    moment := floor(extract(epoch FROM clock_timestamp()) * 1000);
    FOR waiting IN
        SELECT queue, draft FROM penstock.outgoing WHERE transaction_id = pg_current_xact_id() ORDER BY outgoing_key
    LOOP
        s := penstock.hold(waiting.queue);
        -- a queue that was deleted since: its messages would be gone too
        CONTINUE WHEN s.queue_number IS NULL;
        SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
        sent := penstock.send_one(q, s, waiting.draft, moment);
        PERFORM penstock.save(sent.s);
    END LOOP;
    DELETE FROM penstock.outgoing WHERE transaction_id = pg_current_xact_id();
    RETURN NULL;
END $$;

DROP TRIGGER IF EXISTS send_at_commit ON penstock.outgoing;
CREATE CONSTRAINT TRIGGER send_at_commit AFTER INSERT ON penstock.outgoing
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION penstock.send_outgoing();
