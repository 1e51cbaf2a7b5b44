-- Queues changed as a whole, moves, and the sweep: a bounded number of rows at a time.

-- Purpose: let a group be parked or go on, made now if need be; the queue is held.
CREATE OR REPLACE FUNCTION penstock.park(queue_name text, wanted bytea, parks boolean, moment bigint)
RETURNS boolean LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states := penstock.hold(queue_name);
    g penstock.groups;
    stepped penstock.step;
BEGIN
    IF s.queue_number IS NULL THEN
        RETURN false;
    END IF;
    SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
    stepped := penstock.group_by_id(s, wanted);
    g := stepped.g;
    g.is_parked := parks;
    stepped := penstock.reseat(q, stepped.s, penstock.wake_group(queue_name, g, moment), moment);
    PERFORM penstock.save(penstock.wake(queue_name, stepped.s, moment));
    RETURN true;
END $$;

-- Purpose: reseat every group of a queue, whose limit has changed, and wake who waits or follows; the queue is held.
CREATE OR REPLACE FUNCTION penstock.settings_changed(queue_name text, reseats boolean, moment bigint)
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states := penstock.hold(queue_name);
    g penstock.groups;
    stepped penstock.step;
BEGIN
    SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
    IF q.is_strict THEN
        UPDATE penstock.groups SET is_followed = false WHERE queue_number = s.queue_number AND is_followed;
        PERFORM penstock.tell(queue_name, '', moment, true);
        s.is_followed := false;
    END IF;
    IF reseats THEN
        s := penstock.advance(s, moment);
        FOR g IN SELECT * FROM penstock.groups WHERE queue_number = s.queue_number LOOP
            stepped := penstock.reseat(q, s, g, moment);
            s := stepped.s;
        END LOOP;
    END IF;
    PERFORM penstock.save(penstock.wake(queue_name, s, moment));
END $$;

-- Purpose: move messages to another queue as messages sent now; both queues are held.
-- Arguments: their keys, and the ids they get; NULL: they keep theirs.
CREATE OR REPLACE FUNCTION penstock.move_messages(
    source_name text, target_name text, keys bigint[], new_ids uuid[], moment bigint
) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    source penstock.queues;
    target penstock.queues;
    s penstock.queue_states;
    m penstock.messages;
    old_id uuid;
    stepped penstock.step;
BEGIN
    SELECT * INTO source FROM penstock.queues WHERE name = source_name;
    SELECT * INTO target FROM penstock.queues WHERE name = target_name;
    FOR each IN 1..cardinality(keys) LOOP
        SELECT * INTO m FROM penstock.messages WHERE message_key = keys[each];
        s := penstock.hold(source_name);
        stepped := penstock.forget(source, s, penstock.group_of(m), m, moment);
        PERFORM penstock.save(stepped.s);
        PERFORM penstock.note(source, 'moved', ARRAY[m.message_id], moment,
                              convert_to('to ' || target_name || coalesce(' as ' || new_ids[each], ''), 'UTF8'));
        old_id := m.message_id;
        m.message_id := coalesce(new_ids[each], old_id);
        m.sent_at := moment;
        m.visible_at := moment;
        m.receive_count := 0;
        m.carried_count := 0;
        m.first_received_at := NULL;
        m.received_at := NULL;
        m.token := NULL;
        m.owner := NULL;
        m.dead_letter_source := NULL;
        s := penstock.hold(target_name);
        stepped := penstock.keep(target, s, m, moment);
        PERFORM penstock.save(stepped.s);
        IF target.history = 2 THEN
            PERFORM penstock.note(target, 'sent', ARRAY[m.message_id], moment,
                                  convert_to('moved from ' || source_name
                                             || CASE WHEN old_id <> m.message_id THEN ', was ' || old_id ELSE '' END,
                                             'UTF8'));
        END IF;
    END LOOP;
END $$;

-- Purpose: forget messages of a queue that are past their retention or their own time to live, and bring its counts and
-- its first sequence number up to date.
-- Arguments: `expired`: keys of messages past their own time; `most`: how many may go by retention.
-- Returns: how many were forgotten.
CREATE OR REPLACE FUNCTION penstock.sweep_queue(queue_name text, expired bigint[], most integer, moment bigint)
RETURNS integer LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states := penstock.hold(queue_name);
    before penstock.queue_states;
    m penstock.messages;
    stepped penstock.step;
    forgotten integer := 0;
    first bigint;
BEGIN
    IF s.queue_number IS NULL THEN
        RETURN 0;
    END IF;
    SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
    before := s;
    s := penstock.advance(s, moment);
    FOR m IN
        SELECT * FROM penstock.messages WHERE message_key = ANY (expired) AND expires_at <= moment
            AND queue_number = s.queue_number
        ORDER BY message_key
    LOOP
        stepped := penstock.forget(q, s, penstock.group_of(m), m, moment);
        s := stepped.s;
        PERFORM penstock.note(q, 'expired', ARRAY[m.message_id], moment, NULL);
        forgotten := forgotten + 1;
    END LOOP;
    LOOP
        SELECT * INTO m FROM penstock.messages
        WHERE message_key > (s.queue_number << 40) | greatest(0, s.first_sequence - 1)
            AND message_key < (s.queue_number + 1) << 40
        ORDER BY message_key LIMIT 1;
        EXIT WHEN NOT FOUND;
        s.first_sequence := m.message_key & ((1::bigint << 40) - 1);
        EXIT WHEN most = 0 OR m.sent_at + q.retention_ms > moment;
        stepped := penstock.forget(q, s, penstock.group_of(m), m, moment);
        s := stepped.s;
        PERFORM penstock.note(q, 'expired', ARRAY[m.message_id], moment, NULL);
        forgotten := forgotten + 1;
        most := most - 1;
    END LOOP;
    IF s.message_count = 0 THEN
        s.first_sequence := s.last_sequence + 1;
    END IF;
    IF forgotten > 0 THEN
        s := penstock.wake(queue_name, s, moment);
    END IF;
    IF forgotten > 0 OR s.delayed <> before.delayed OR s.in_flight <> before.in_flight
        OR s.first_sequence <> before.first_sequence
    THEN
        UPDATE penstock.queue_states SET first_sequence = s.first_sequence WHERE queue_number = s.queue_number;
        PERFORM penstock.save(s);
    END IF;
    RETURN forgotten;
END $$;

-- Purpose: forget what has ended besides messages: deduplication ids, attempts, records, joins, moves, events, names at
-- rest, writers that are gone, and what lies under the numbers of purged and deleted queues.
-- Arguments: at most so many of each kind; moves started and names deleted before; how many events are kept.
-- Returns: how many were forgotten.
CREATE OR REPLACE FUNCTION penstock.sweep_rest(
    most integer, moves_before bigint, names_before bigint, events_kept bigint, moment bigint
) RETURNS integer LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    forgotten integer := 0;
    number_of integer;
    orphan bigint;
    expired_keys bytea[];
    expired bytea;
BEGIN
    DELETE FROM penstock.duplicates WHERE (queue_number, key) IN (
        SELECT queue_number, key FROM penstock.duplicates WHERE kept_until <= moment ORDER BY kept_until LIMIT most
        FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS number_of = ROW_COUNT;
    forgotten := forgotten + number_of;
    DELETE FROM penstock.attempts WHERE (queue_number, attempt_id) IN (
        SELECT queue_number, attempt_id FROM penstock.attempts WHERE kept_until <= moment ORDER BY kept_until LIMIT most
        FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS number_of = ROW_COUNT;
    forgotten := forgotten + number_of;
    expired_keys := ARRAY(
        SELECT key FROM penstock.records WHERE expires_at <= moment ORDER BY expires_at LIMIT most
        FOR UPDATE SKIP LOCKED);
    IF cardinality(expired_keys) > 0 THEN
        PERFORM penstock.delete_records(expired_keys);
        forgotten := forgotten + cardinality(expired_keys);
    END IF;
    FOR expired IN
        SELECT join_id FROM penstock.joins WHERE expires_at <= moment ORDER BY expires_at LIMIT most
        FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM penstock.close_join(expired);
        forgotten := forgotten + 1;
    END LOOP;
    DELETE FROM penstock.moves WHERE NOT is_running AND started_at <= moves_before;
    GET DIAGNOSTICS number_of = ROW_COUNT;
    forgotten := forgotten + number_of;
    DELETE FROM penstock.events WHERE event_id IN (
        SELECT event_id FROM penstock.events
        WHERE event_id <= (SELECT max(event_id) FROM penstock.events) - events_kept
        ORDER BY event_id LIMIT greatest(most, 1000) FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS number_of = ROW_COUNT;
    forgotten := forgotten + number_of;
    DELETE FROM penstock.deleted_queues WHERE deleted_at <= names_before;
    DELETE FROM penstock.writers WHERE touched_on < current_date - 2;
    SELECT queue_number INTO orphan FROM penstock.orphans ORDER BY queue_number LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        DELETE FROM penstock.messages WHERE message_key IN (
            SELECT message_key FROM penstock.messages
            WHERE message_key > orphan << 40 AND message_key < (orphan + 1) << 40 LIMIT most);
        GET DIAGNOSTICS number_of = ROW_COUNT;
        DELETE FROM penstock.groups WHERE group_key IN (
            SELECT group_key FROM penstock.groups WHERE queue_number = orphan LIMIT most);
        DELETE FROM penstock.duplicates WHERE queue_number = orphan AND key IN (
            SELECT key FROM penstock.duplicates WHERE queue_number = orphan LIMIT most);
        DELETE FROM penstock.attempts WHERE queue_number = orphan;
        IF number_of = 0 AND NOT EXISTS (SELECT FROM penstock.groups WHERE queue_number = orphan)
            AND NOT EXISTS (SELECT FROM penstock.duplicates WHERE queue_number = orphan)
        THEN
            DELETE FROM penstock.orphans WHERE queue_number = orphan;
        END IF;
        forgotten := forgotten + number_of + 1;
    END IF;
    RETURN forgotten;
END $$;
