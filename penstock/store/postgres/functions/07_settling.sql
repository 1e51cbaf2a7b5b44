-- How messages leave or come back: settle a delivery, release an owner's leases, cancel, delete, reschedule by id.

-- What became of a settlement: 0 DONE, 1 GONE, 2 STALE, 3 EXPIRED, 4 refused: the lease would be too long, 5 refused by
-- its effects.

-- Purpose: end one delivery, or say why not.
-- Arguments: action 0 delete, 1 change visibility, 2 give back, 3 dead-letter; flags 1 is_fenced, 2 any delivery counts,
-- 4 parks the group, 32 what is given back counts; `hold_ms` and `most_ms` of a change of visibility, `hold_ms` also the
-- delay of what is given back; `detail` for the history; `is_refused`: its
-- effects cannot happen.
-- Returns: the state after it, the code, the message's id.
CREATE OR REPLACE FUNCTION penstock.settle_one(
    q penstock.queues, s penstock.queue_states, sequence bigint, its_token bytea, action integer, flags integer,
    hold_ms bigint, most_ms bigint, detail bytea, is_refused boolean, moment bigint
) RETURNS penstock.sending LANGUAGE plpgsql AS $$
DECLARE
    m penstock.messages;
    changed penstock.messages;
    g penstock.groups;
    stepped penstock.step;
BEGIN
    SELECT * INTO m FROM penstock.messages WHERE message_key = (s.queue_number << 40) | sequence;
    IF NOT FOUND THEN
        RETURN (s, 1, NULL::uuid, 0::bigint);
    END IF;
    IF m.token IS NULL OR (m.token <> its_token AND flags & 2 = 0) THEN
        RETURN (s, 2, m.message_id, 0::bigint);
    END IF;
    IF m.visible_at <= moment AND (flags & 1 <> 0 OR q.is_strict) THEN
        RETURN (s, 3, m.message_id, 0::bigint);
    END IF;
    IF action = 1 AND hold_ms <> 0 AND moment + hold_ms > m.received_at + most_ms THEN
        RETURN (s, 4, m.message_id, 0::bigint);
    END IF;
    IF is_refused THEN
        RETURN (s, 5, m.message_id, 0::bigint);
    END IF;
    g := penstock.group_of(m);
    IF flags & 4 <> 0 AND m.group_key > 0 THEN
        g.is_parked := true;
    END IF;
    IF action IN (1, 2) THEN
        changed := m;
        changed.visible_at := moment + hold_ms;
        IF action = 2 THEN
            -- its token goes, so that it cannot be undone twice
            changed.token := NULL;
            changed.owner := NULL;
            changed.phase := CASE WHEN hold_ms > 0 THEN 1 ELSE 0 END;
            IF flags & 32 = 0 THEN
                changed.receive_count := m.receive_count - 1;
            ELSE
                stepped := penstock.count_busy(q, s, g, m, moment);
                s := stepped.s;
                g := stepped.g;
            END IF;
        END IF;
        stepped := penstock.change(q, s, g, m, changed, moment);
        s := stepped.s;
        IF action = 2 AND hold_ms > 0 THEN
            -- its lease has ended now, whenever it comes back
            s := penstock.wake_if_freed(q, s, m, moment);
            IF q.is_strict THEN
                stepped := penstock.wake_followers(q, s, NULL, NULL, moment);
                s := stepped.s;
            END IF;
        END IF;
        IF q.history = 2 THEN
            PERFORM penstock.note(q, 'visibility_changed', ARRAY[m.message_id], moment, detail);
        END IF;
        RETURN (s, 0, m.message_id, 0::bigint);
    END IF;
    stepped := penstock.count_busy(q, s, g, m, moment);
    s := stepped.s;
    g := stepped.g;
    IF action = 3 THEN
        stepped := penstock.dead_letter(q, s, g, m, detail, moment);
        IF stepped.done THEN
            RETURN (penstock.wake(q.name, stepped.s, moment), 0, m.message_id, 0::bigint);
        END IF;
    END IF;
    stepped := penstock.forget(q, s, g, m, moment);
    s := stepped.s;
    s.deleted_total := s.deleted_total + 1;
    IF q.history = 2 THEN
        PERFORM penstock.note(q, 'deleted', ARRAY[m.message_id], moment, detail);
    END IF;
    RETURN (penstock.wake_if_freed(q, s, m, moment), 0, m.message_id, 0::bigint);
END $$;

-- Purpose: end several deliveries in one way, all or none.
-- Arguments: as of settle_one, with a sequence number and a token for each.
-- Returns: the state after it; the code and the message's id of the first, or of the first that cannot end.
CREATE OR REPLACE FUNCTION penstock.settle_together(
    q penstock.queues, s penstock.queue_states, sequences bigint[], tokens bytea[], action integer, flags integer,
    hold_ms bigint, most_ms bigint, detail bytea, is_refused boolean, moment bigint
) RETURNS penstock.sending LANGUAGE plpgsql AS $$
DECLARE
    outcome penstock.sending;
    first_id uuid;
BEGIN
    FOR each IN 1..cardinality(sequences) LOOP
        -- being refused is looked at last, and changes nothing
        outcome := penstock.settle_one(
            q, s, sequences[each], tokens[each], action, flags, hold_ms, most_ms, detail, true, moment);
        IF outcome.code <> 5 THEN
            RETURN (s, outcome.code, outcome.message_id, 0::bigint);
        END IF;
        first_id := coalesce(first_id, outcome.message_id);
    END LOOP;
    IF is_refused THEN
        RETURN (s, 5, first_id, 0::bigint);
    END IF;
    FOR each IN 1..cardinality(sequences) LOOP
        outcome := penstock.settle_one(
            q, s, sequences[each], tokens[each], action, flags, hold_ms, most_ms, detail, false, moment);
        s := outcome.s;
    END LOOP;
    RETURN (s, 0, first_id, 0::bigint);
END $$;

-- Purpose: wake who waits, if what became of a message let its group go on or made room under the limit.
CREATE OR REPLACE FUNCTION penstock.wake_if_freed(
    q penstock.queues, s penstock.queue_states, m penstock.messages, moment bigint
) RETURNS penstock.queue_states LANGUAGE plpgsql AS $$
BEGIN
    IF m.group_key > 0 OR q.max_in_flight IS NOT NULL THEN
        RETURN penstock.wake(q.name, s, moment);
    END IF;
    RETURN s;
END $$;

-- Purpose: delete many deliveries of a queue without groups in one statement.
-- Arguments: parallel arrays; `owners`: what they are called in the replies.
-- Returns: for each that was deleted its owner and message id. Of the others nothing has changed.
CREATE OR REPLACE FUNCTION penstock.delete_plain(
    q penstock.queues, s penstock.queue_states, owners integer[], sequences bigint[], tokens bytea[], flags integer[],
    moments bigint[], OUT after penstock.queue_states, OUT done integer[], OUT ids uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    counted record;
BEGIN
    WITH gone AS (
        DELETE FROM penstock.messages AS m
        USING unnest(owners, sequences, tokens, flags, moments) AS given(owner, sequence, token, flag, moment)
        WHERE m.message_key = (s.queue_number << 40) | given.sequence AND m.token = given.token
            AND (m.visible_at > given.moment OR NOT (q.is_strict OR given.flag & 1 <> 0))
        RETURNING given.owner, m.message_id, m.phase, m.visible_at
    )
    SELECT array_agg(owner) AS owners, array_agg(message_id) AS ids, count(*) AS number,
           count(*) FILTER (WHERE phase = 2 AND visible_at > s.counted_at) AS in_flight
    INTO counted FROM gone;
    done := coalesce(counted.owners, '{}');
    ids := coalesce(counted.ids, '{}');
    s.message_count := s.message_count - counted.number;
    s.in_flight := s.in_flight - counted.in_flight;
    s.deleted_total := s.deleted_total + counted.number;
    IF s.message_count = 0 THEN
        s.lanes := 0;
    END IF;
    IF counted.number > 0 AND q.max_in_flight IS NOT NULL THEN
        s := penstock.wake(q.name, s, moments[1]);
    END IF;
    after := s;
END $$;

-- Purpose: cancel (action 0), delete (1) or reschedule (2) messages by id, wherever they are.
-- Arguments: `only_in_flight`: delete only those that somebody holds; `only_queue`: only messages of this queue;
-- `deliver_at`: of a reschedule.
-- Returns: an 'i' for each id: `code` 0 DONE, 1 IN_FLIGHT, 2 GONE.
CREATE OR REPLACE FUNCTION penstock.by_id(
    action integer, ids uuid[], only_in_flight boolean, only_queue text, deliver_at bigint, moment bigint
) RETURNS SETOF penstock.reply LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states;
    g penstock.groups;
    m penstock.messages;
    changed penstock.messages;
    j penstock.joins;
    stepped penstock.step;
    answer penstock.reply;
    its_queue text;
    is_held boolean;
BEGIN
    PERFORM penstock.hold_all(ARRAY(
        SELECT queue.name FROM unnest(ids) AS id JOIN penstock.messages AS message ON message.message_id = id
        JOIN penstock.queues AS queue ON queue.queue_number = message.message_key >> 40));
    answer.kind := 'i';
    FOR each IN 1..cardinality(ids) LOOP
        answer.owner := each - 1;
        answer.code := 2;
        SELECT * INTO j FROM penstock.joins WHERE message_id = ids[each] FOR UPDATE;
        IF FOUND AND NOT (action = 1 AND only_in_flight) THEN
            IF only_queue IS NULL OR j.queue = only_queue THEN
                answer.code := 0;
                IF action = 2 THEN
                    j.draft.deliver_at := by_id.deliver_at;
                    UPDATE penstock.joins SET draft = j.draft WHERE join_id = j.join_id;
                ELSE
                    PERFORM penstock.close_join(j.join_id);
                END IF;
            END IF;
            RETURN NEXT answer;
            CONTINUE;
        END IF;
        -- again if it has moved to another queue meanwhile
        LOOP
            SELECT queue.name INTO its_queue FROM penstock.messages AS message
            JOIN penstock.queues AS queue ON queue.queue_number = message.message_key >> 40
            WHERE message.message_id = ids[each];
            EXIT WHEN NOT FOUND;
            s := penstock.hold(its_queue);
            SELECT * INTO m FROM penstock.messages WHERE message_id = ids[each];
            EXIT WHEN FOUND AND m.queue_number = s.queue_number;
        END LOOP;
        is_held := m.phase = 2 AND m.visible_at > moment;
        IF its_queue IS NULL OR its_queue <> only_queue OR (action = 1 AND only_in_flight AND NOT is_held) THEN
            RETURN NEXT answer;
            CONTINUE;
        END IF;
        IF is_held AND action <> 1 THEN
            answer.code := 1;
            RETURN NEXT answer;
            CONTINUE;
        END IF;
        SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
        g := penstock.group_of(m);
        IF action = 2 THEN
            changed := m;
            changed.visible_at := greatest(moment, by_id.deliver_at);
            changed.phase := CASE WHEN changed.visible_at <= moment THEN 0 ELSE 1 END;
            changed.token := NULL;
            changed.owner := NULL;
            IF NOT q.is_strict OR m.group_key < 0 THEN
                changed.rank := 2 * (9 - m.priority) + 1;
            END IF;
            s.lanes := s.lanes | (1 << (2 * (9 - m.priority) + 1));
            stepped := penstock.change(q, s, g, m, changed, moment);
            s := stepped.s;
            PERFORM penstock.note(q, 'rescheduled', ARRAY[m.message_id], moment, changed.visible_at::text::bytea);
        ELSE
            IF is_held THEN
                stepped := penstock.count_busy(q, s, g, m, moment);
                s := stepped.s;
                g := stepped.g;
            END IF;
            stepped := penstock.forget(q, s, g, m, moment);
            s := stepped.s;
            IF action = 1 THEN
                s.deleted_total := s.deleted_total + 1;
            END IF;
            PERFORM penstock.note(
                q, CASE action WHEN 0 THEN 'cancelled' ELSE 'deleted' END, ARRAY[m.message_id], moment, NULL);
            s := penstock.wake_if_freed(q, s, m, moment);
        END IF;
        PERFORM penstock.save(s);
        answer.code := 0;
        RETURN NEXT answer;
    END LOOP;
    RETURN QUERY SELECT * FROM penstock.woken();
END $$;

-- Purpose: make everything an owner holds receivable now.
-- Returns: an 'n': `number` of messages.
CREATE OR REPLACE FUNCTION penstock.release_leases(holder bytea, moment bigint)
RETURNS SETOF penstock.reply LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states;
    m penstock.messages;
    stepped penstock.step;
    answer penstock.reply;
BEGIN
    PERFORM penstock.hold_all(ARRAY(
        SELECT DISTINCT queue.name FROM penstock.messages AS message
        JOIN penstock.queues AS queue ON queue.queue_number = message.message_key >> 40
        WHERE message.owner = holder AND message.phase = 2 AND message.visible_at > moment));
    answer.kind := 'n';
    answer.number := 0;
    FOR m IN
        SELECT * FROM penstock.messages WHERE owner = holder AND phase = 2 AND visible_at > moment ORDER BY message_key
    LOOP
        SELECT * INTO q FROM penstock.queues WHERE queue_number = m.queue_number;
        CONTINUE WHEN NOT FOUND;
        s := penstock.hold(q.name);
        stepped := penstock.change(q, s, penstock.group_of(m), m, penstock.until(m, moment), moment);
        PERFORM penstock.save(stepped.s);
        PERFORM penstock.note(q, 'visibility_changed', ARRAY[m.message_id], moment, 'its owner died'::bytea);
        answer.number := answer.number + 1;
    END LOOP;
    RETURN NEXT answer;
    RETURN QUERY SELECT * FROM penstock.woken();
END $$;

-- Purpose: what `wake` has been told in this transaction so far.
-- Returns: a 'w' each: `name` of the queue, `instant` from which something may be receivable; for who follows the
-- `group_id`, empty: any.
CREATE OR REPLACE FUNCTION penstock.woken() RETURNS SETOF penstock.reply LANGUAGE plpgsql AS $$
DECLARE
    line text;
    answer penstock.reply;
BEGIN
    answer.kind := 'w';
    FOREACH line IN ARRAY string_to_array(coalesce(current_setting('penstock_store.woken', true), ''), E'\n') LOOP
        IF line <> '' THEN
            answer.instant := split_part(line, ' ', 1)::bigint;
            answer.name := split_part(line, ' ', 2);
            answer.group_id := decode(substr(nullif(split_part(line, ' ', 3), ''), 2), 'base64');
            RETURN NEXT answer;
        END IF;
    END LOOP;
END $$;
