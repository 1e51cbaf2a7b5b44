-- What happens together with a settlement: guards looked at, records forgotten and kept, joins opened and arrived at.

-- Purpose: keep a record with its tags.
-- Arguments: `tag_texts`: name=value of each tag; `only_if_absent`: leave what is there and has not expired.
-- Returns: whether it was kept.
CREATE OR REPLACE FUNCTION penstock.put_record(
    its_key bytea, its_value bytea, its_tags bytea, tag_texts bytea[], ends_at bigint, only_if_absent boolean,
    moment bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was_there boolean;
BEGIN
    INSERT INTO penstock.records AS known (key, value, tags, expires_at) VALUES (its_key, its_value, its_tags, ends_at)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, tags = excluded.tags, expires_at = excluded.expires_at
    WHERE NOT only_if_absent OR known.expires_at <= moment
    RETURNING xmax <> 0 INTO was_there;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF was_there THEN
        DELETE FROM penstock.record_tags WHERE key = its_key AND tag <> ALL (tag_texts);
    END IF;
    IF cardinality(tag_texts) > 0 THEN
        INSERT INTO penstock.record_tags (tag, key) SELECT tag, its_key FROM unnest(tag_texts) AS tag
        ON CONFLICT (tag, key) DO NOTHING;
    END IF;
    RETURN true;
END $$;

-- Purpose: keep many records, whatever is there, in one statement.
-- Arguments: parallel arrays; `tag_record`: the record of each tag; `places`: which records, with keys of their own.
CREATE OR REPLACE FUNCTION penstock.put_plain_records(
    keys bytea[], new_values bytea[], new_tags bytea[], ends bigint[], tag_texts bytea[], tag_record integer[],
    places integer[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    replaced bytea[];
BEGIN
    WITH put AS (
        INSERT INTO penstock.records AS known (key, value, tags, expires_at)
        SELECT keys[place], new_values[place], new_tags[place], ends[place] FROM unnest(places) AS place
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, tags = excluded.tags, expires_at = excluded.expires_at
        RETURNING known.key, xmax <> 0 AS was_there
    )
    SELECT array_agg(put.key) FILTER (WHERE was_there) INTO replaced FROM put;
    IF replaced IS NOT NULL THEN
        DELETE FROM penstock.record_tags WHERE key = ANY (replaced);
    END IF;
    IF cardinality(tag_texts) > 0 THEN
        INSERT INTO penstock.record_tags (tag, key)
        SELECT given.tag, keys[given.place] FROM unnest(tag_texts, tag_record) AS given(tag, place)
        WHERE given.place = ANY (places) ON CONFLICT (tag, key) DO NOTHING;
    END IF;
END $$;

-- Purpose: forget records with their tags; an unknown key is no error.
CREATE OR REPLACE FUNCTION penstock.delete_records(keys bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM penstock.records WHERE key = ANY (keys);
    DELETE FROM penstock.record_tags WHERE key = ANY (keys);
END $$;

-- Purpose: keep others from changing records that guards look at, until the end of the transaction. One that is not
-- there gets a row that has expired, because nothing else could be held.
CREATE OR REPLACE FUNCTION penstock.hold_records(keys bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO penstock.records AS known (key, value, tags, expires_at)
    SELECT DISTINCT wanted, ''::bytea, '{}'::bytea, 0 FROM unnest(keys) AS wanted ORDER BY wanted
    ON CONFLICT (key) DO UPDATE SET expires_at = known.expires_at WHERE false;
END $$;

-- Purpose: take away the rows that `hold_records` has put in and nobody has used.
CREATE OR REPLACE FUNCTION penstock.drop_held_records(keys bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM penstock.delete_records(ARRAY(
        SELECT key FROM penstock.records WHERE key = ANY (keys) AND expires_at = 0));
END $$;

-- Purpose: the first of some guards that does not hold.
-- Arguments: the values that their unexpired records must have; NULL: there must be none.
-- Returns: its place in the arrays; NULL when all hold.
CREATE OR REPLACE FUNCTION penstock.first_unmet(keys bytea[], wanted bytea[], moment bigint)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    unmet integer;
BEGIN
    SELECT number INTO unmet FROM unnest(keys, wanted) WITH ORDINALITY AS guard(its_key, its_value, number)
    LEFT JOIN penstock.records AS r ON r.key = guard.its_key AND (r.expires_at IS NULL OR r.expires_at > moment)
    WHERE r.value IS DISTINCT FROM guard.its_value ORDER BY number LIMIT 1;
    RETURN unmet;
END $$;

-- Purpose: forget a join.
CREATE OR REPLACE FUNCTION penstock.close_join(its_id bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM penstock.joins WHERE join_id = its_id;
    DELETE FROM penstock.join_parts WHERE join_id = its_id;
END $$;

-- Purpose: forget a join that has expired, so that its id is free.
CREATE OR REPLACE FUNCTION penstock.close_if_expired(its_id bytea, moment bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM penstock.joins WHERE join_id = its_id AND expires_at <= moment FOR UPDATE;
    IF FOUND THEN
        PERFORM penstock.close_join(its_id);
    END IF;
END $$;

-- Purpose: open a join, unless it is open or its message is kept already.
CREATE OR REPLACE FUNCTION penstock.open_join(
    its_id bytea, its_parts integer, its_queue text, d penstock.draft, ends_at bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM penstock.messages AS m JOIN penstock.queues AS queue ON queue.queue_number = m.message_key >> 40
        WHERE m.message_id = d.message_id
    ) THEN
        INSERT INTO penstock.joins (join_id, parts, message_id, queue, draft, expires_at)
        VALUES (its_id, its_parts, d.message_id, its_queue, d, ends_at) ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- Purpose: one part has come to a join; the last one sends its message. The same part counts once.
CREATE OR REPLACE FUNCTION penstock.arrive(its_id bytea, part bytea, moment bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    j penstock.joins;
    q penstock.queues;
    s penstock.queue_states;
    sent penstock.sending;
BEGIN
    SELECT * INTO j FROM penstock.joins WHERE join_id = its_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO penstock.join_parts (join_id, part_id) VALUES (its_id, part) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF j.arrived + 1 < j.parts THEN
        UPDATE penstock.joins SET arrived = arrived + 1 WHERE join_id = its_id;
        RETURN;
    END IF;
    PERFORM penstock.close_join(its_id);
    s := penstock.hold(j.queue);
    IF s.queue_number IS NOT NULL THEN
        SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
        sent := penstock.send_one(q, s, j.draft, moment);
        PERFORM penstock.save(sent.s);
    END IF;
END $$;

-- Purpose: the first of some drafts that its queue refuses, or whose queue is not there.
-- Returns: its place in the arrays; NULL when all can be sent.
CREATE OR REPLACE FUNCTION penstock.first_refused(queue_names text[], drafts penstock.draft[])
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    q penstock.queues;
BEGIN
    FOR each IN 1..cardinality(drafts) LOOP
        SELECT * INTO q FROM penstock.queues WHERE name = queue_names[each];
        IF NOT FOUND OR penstock.refuses(q, drafts[each]) THEN
            RETURN each;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
