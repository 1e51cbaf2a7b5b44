-- Receive: choose what comes next, clear away the spent and the expired, lease the rest.

-- Purpose: show messages that were just leased.
-- Arguments: keys and tokens, in order; the first is called `first` in the replies.
CREATE OR REPLACE FUNCTION penstock.deliver(asked integer, first integer, keys bigint[], tokens bytea[])
RETURNS SETOF penstock.reply LANGUAGE sql AS $$
    SELECT 'm'::"char", asked, first + leased.number::integer - 1, NULL::integer, m.message_key, m.message_id, m.visible_at,
           NULL::text, m.receive_count, m.priority, m.sent_at, m.first_received_at, m.dead_letter_source, m.group_id,
           m.deduplication_id, m.extras, m.body
    FROM unnest(keys, tokens) WITH ORDINALITY AS leased(key, token, number)
    JOIN penstock.messages AS m ON m.message_key = leased.key AND m.token = leased.token
$$;

-- Purpose: lease one message that is not to be cleared away. Its group, if it is a fair one, is reseated.
CREATE OR REPLACE FUNCTION penstock.lease(
    q penstock.queues, s penstock.queue_states, g penstock.groups, m penstock.messages, its_token bytea, until bigint,
    holder bytea, moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    is_ordered boolean := q.is_strict AND m.group_key > 0;
    lane integer := 2 * (9 - m.priority) + CASE WHEN q.comes_back THEN 0 ELSE 1 END;
    stepped penstock.step;
BEGIN
    UPDATE penstock.messages SET
        visible_at = until, rank = CASE WHEN is_ordered THEN rank ELSE lane END,
        position = CASE WHEN is_ordered THEN position ELSE until END, phase = 2, token = its_token, owner = holder,
        receive_count = receive_count + 1, first_received_at = coalesce(first_received_at, moment), received_at = moment
    WHERE message_key = m.message_key;
    IF NOT is_ordered THEN
        s.lanes := s.lanes | (1 << lane);
        IF m.group_key < 0 AND until < s.floors[lane + 1] THEN
            s.floors[lane + 1] := until;
        END IF;
    END IF;
    stepped := penstock.count(s, g, m.phase, m.visible_at, -1);
    stepped := penstock.count(stepped.s, stepped.g, 2, until, 1);
    s := stepped.s;
    g := stepped.g;
    s.received_total := s.received_total + 1;
    IF m.group_key > 0 AND NOT is_ordered THEN
        stepped := penstock.reseat(q, s, g, moment);
        s := stepped.s;
        g := stepped.g;
    END IF;
    IF q.history = 2 THEN
        PERFORM penstock.note(q, 'received', ARRAY[m.message_id], moment, holder);
    END IF;
    RETURN (s, g, true);
END $$;

-- Purpose: the deliveries of an attempt made before, if all their leases last.
-- Returns: keys; NULL when there is nothing to answer again.
CREATE OR REPLACE FUNCTION penstock.same_attempt(s penstock.queue_states, attempt bytea, moment bigint)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    known penstock.attempts;
    held bigint;
BEGIN
    SELECT * INTO known FROM penstock.attempts
    WHERE queue_number = s.queue_number AND attempt_id = attempt AND kept_until > moment;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO held
    FROM unnest(known.message_keys, known.tokens) AS leased(key, token)
    JOIN penstock.messages AS m ON m.message_key = leased.key AND m.token = leased.token AND m.visible_at > moment;
    RETURN CASE WHEN held = cardinality(known.message_keys) THEN known.message_keys END;
END $$;

-- Purpose: the first instant after `moment` at which something becomes receivable; NULL when nothing is due.
CREATE OR REPLACE FUNCTION penstock.next_ready_at(s penstock.queue_states, moment bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    due bigint;
    soonest bigint;
BEGIN
    FOR in_lane IN 0..20 LOOP
        CONTINUE WHEN in_lane < 20 AND (s.lanes >> in_lane) & 1 = 0;
        IF in_lane < 20 THEN
            SELECT position INTO due FROM penstock.messages
            WHERE group_key = -s.queue_number AND rank = in_lane AND position > moment
            ORDER BY position, message_key LIMIT 1;
            soonest := least(soonest, due);
        END IF;
        IF s.group_count > 0 THEN
            SELECT ready_at INTO due FROM penstock.groups
            WHERE queue_number = s.queue_number AND lane = in_lane AND ready_at > moment AND ready_at IS NOT NULL
            ORDER BY ready_at, turn LIMIT 1;
            soonest := least(soonest, due);
        END IF;
    END LOOP;
    RETURN soonest;
END $$;

-- Purpose: the noisy group with the fewest leases; one that has turned quiet goes before.
-- Returns: the step with that group; not `done` when there is none.
CREATE OR REPLACE FUNCTION penstock.least_noisy(q penstock.queues, s penstock.queue_states, moment bigint)
RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    candidate penstock.groups;
    best penstock.groups;
    judged penstock.step;
BEGIN
    FOR candidate IN
        SELECT * FROM penstock.groups
        WHERE queue_number = s.queue_number AND lane = 20 AND ready_at <= moment AND ready_at IS NOT NULL
        ORDER BY ready_at, turn LIMIT 32
    LOOP
        judged := penstock.judge(q, s, candidate, moment);
        s := judged.s;
        IF NOT judged.done THEN
            RETURN (s, judged.g, true);
        END IF;
        IF best.group_key IS NULL OR candidate.in_flight < best.in_flight THEN
            best := candidate;
        END IF;
    END LOOP;
    RETURN (s, best, best.group_key IS NOT NULL);
END $$;

-- Purpose: lease at most as many messages as there are tokens.
-- Arguments: `owner`: what this receive is called in the replies; `timeout_ms` NULL: the queue's; `holder`: whose leases
-- they are; `attempt`: answer the same again while it lasts (strict queues); `is_shared`: several receives as one, of which
-- some have found nothing when there was less than all wanted.
-- Returns: an 'm' for each delivery; then an 'r': `instant` look_again_at, `code` 1: over the limit, `message_key` wait_ms.
-- Or an 'x': the queue is not there.
CREATE OR REPLACE FUNCTION penstock.receive(
    queue_name text, owner integer, tokens bytea[], timeout_ms bigint, moment bigint, holder bytea, attempt bytea,
    is_shared boolean
) RETURNS SETOF penstock.reply LANGUAGE plpgsql AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states := penstock.hold(queue_name);
    g penstock.groups;
    m penstock.messages;
    answer penstock.reply;
    stepped penstock.step;
    until bigint;
    wanted integer := cardinality(tokens);
    taken integer := 0;
    budget integer := 100;
    keys bigint[] := '{}';
    ready record;
    lane integer;
    at_lane integer;
    at_position bigint;
    at_key bigint;
    group_lane integer;
    group_at bigint;
    its_group_key bigint;
    after bigint;
    before penstock.queue_states := s;
    is_in_turn boolean := s.group_count > 0;
BEGIN
    answer.owner := owner;
    IF s.queue_number IS NULL THEN
        answer.kind := 'x';
        RETURN NEXT answer;
        RETURN;
    END IF;
    SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
    answer.kind := 'r';
    answer.message_key := q.receive_wait_ms;
    answer.code := 0;
    until := moment + greatest(1, coalesce(timeout_ms, q.visibility_timeout_ms));
    IF q.is_paused THEN
        wanted := 0;
    ELSIF attempt IS NOT NULL AND q.is_strict THEN
        keys := penstock.same_attempt(s, attempt, moment);
        IF keys IS NOT NULL THEN
            FOREACH at_key IN ARRAY keys LOOP
                SELECT * INTO m FROM penstock.messages WHERE message_key = at_key;
                g := penstock.group_of(m);
                stepped := penstock.change(q, s, g, m, penstock.until(m, until), moment);
                s := stepped.s;
            END LOOP;
            PERFORM penstock.save(s);
            RETURN QUERY SELECT * FROM penstock.deliver(owner, 0, keys, ARRAY(
                SELECT message.token FROM unnest(keys) WITH ORDINALITY AS k(key, number)
                JOIN penstock.messages AS message ON message.message_key = k.key ORDER BY k.number));
            -- the tokens are those of before
            answer.kind := 't';
            FOREACH at_key IN ARRAY keys LOOP
                SELECT message.token INTO answer.extras FROM penstock.messages AS message WHERE message_key = at_key;
                answer.message_key := at_key;
                RETURN NEXT answer;
            END LOOP;
            RETURN;
        END IF;
        keys := '{}';
    END IF;
    IF q.max_in_flight IS NOT NULL AND NOT q.is_paused THEN
        s := penstock.advance(s, moment);
        wanted := least(wanted, q.max_in_flight - s.in_flight);
        IF wanted <= 0 THEN
            answer.code := 1;
            SELECT visible_at INTO answer.instant FROM penstock.messages
            WHERE queue_number = s.queue_number AND visible_at > moment AND phase = 2 AND phase > 0
            ORDER BY visible_at LIMIT 1 OFFSET s.in_flight - q.max_in_flight;
        END IF;
    END IF;
    IF wanted > 0 AND is_in_turn THEN
        s := penstock.advance(s, moment);
    END IF;
    WHILE taken < wanted AND budget > 0 AND NOT is_in_turn LOOP
        -- without groups: all that is wanted of a lane at once
        keys := NULL;
        FOR lane IN 0..19 LOOP
            CONTINUE WHEN (s.lanes >> lane) & 1 = 0;
            SELECT array_agg(k.message_key ORDER BY k.position, k.message_key) AS keys, array_agg(k.message_id) AS ids,
                   max(k.position) AS last, bool_or(k.is_over) AS is_over,
                   count(*) FILTER (WHERE k.phase = 1 AND k.position > s.counted_at) AS delayed,
                   count(*) FILTER (WHERE k.phase = 2 AND k.position > s.counted_at) AS in_flight
            INTO ready
            FROM (
                SELECT message_key, message_id, position, phase,
                       sent_at + q.retention_ms <= moment OR coalesce(expires_at <= moment, false)
                       OR coalesce(receive_count - carried_count >= q.max_receive_count, false) AS is_over
                FROM penstock.messages
                WHERE group_key = -s.queue_number AND rank = lane AND position >= s.floors[lane + 1]
                    AND position <= moment
                ORDER BY position, message_key LIMIT wanted - taken
            ) AS k;
            keys := ready.keys;
            at_lane := lane;
            EXIT WHEN keys IS NOT NULL;
        END LOOP;
        EXIT WHEN keys IS NULL;
        IF ready.is_over THEN
            FOREACH at_key IN ARRAY keys LOOP
                EXIT WHEN budget = 0;
                SELECT * INTO m FROM penstock.messages WHERE message_key = at_key;
                stepped := penstock.clear(q, s, NULL, m, moment);
                s := stepped.s;
                IF stepped.done THEN
                    budget := budget - 1;
                ELSE
                    stepped := penstock.lease(q, s, NULL, m, tokens[taken + 1], until, holder, moment);
                    s := stepped.s;
                    taken := taken + 1;
                    RETURN QUERY SELECT * FROM penstock.deliver(
                        owner, taken - 1, ARRAY[at_key], tokens[taken:taken]);
                END IF;
            END LOOP;
            CONTINUE;
        END IF;
        lane := (at_lane / 2) * 2 + CASE WHEN q.comes_back THEN 0 ELSE 1 END;
        RETURN QUERY UPDATE penstock.messages AS message SET
            visible_at = until, rank = lane, position = until, phase = 2, token = leased.token, owner = holder,
            receive_count = message.receive_count + 1, first_received_at = coalesce(message.first_received_at, moment),
            received_at = moment
        FROM unnest(keys, tokens[taken + 1:taken + cardinality(keys)]) WITH ORDINALITY AS leased(key, token, number)
        WHERE message.message_key = leased.key
        RETURNING 'm'::"char", answer.owner, taken + leased.number::integer - 1, NULL::integer, message.message_key,
                  message.message_id, message.visible_at, NULL::text, message.receive_count, message.priority, message.sent_at, message.first_received_at,
                  message.dead_letter_source, message.group_id, message.deduplication_id, message.extras, message.body;
        taken := taken + cardinality(keys);
        s.floors[at_lane + 1] := ready.last;
        s.lanes := s.lanes | (1 << lane);
        s.floors[lane + 1] := least(s.floors[lane + 1], until);
        s.delayed := s.delayed - ready.delayed;
        s.in_flight := s.in_flight - ready.in_flight;
        IF until > s.counted_at THEN
            s.in_flight := s.in_flight + cardinality(keys);
        END IF;
        s.received_total := s.received_total + cardinality(keys);
        IF q.history = 2 THEN
            PERFORM penstock.note(q, 'received', ready.ids, moment, holder);
        END IF;
    END LOOP;
    keys := '{}';
    WHILE taken < wanted AND budget > 0 AND is_in_turn LOOP
        -- with groups: one after the other, by their turn
        at_lane := NULL;
        FOR lane IN 0..19 LOOP
            CONTINUE WHEN (s.lanes >> lane) & 1 = 0;
            SELECT position, message_key INTO at_position, at_key FROM penstock.messages
            WHERE group_key = -s.queue_number AND rank = lane AND position >= s.floors[lane + 1] AND position <= moment
            ORDER BY position, message_key LIMIT 1;
            IF FOUND THEN
                s.floors[lane + 1] := at_position;
                at_lane := lane;
                EXIT;
            END IF;
        END LOOP;
        group_lane := NULL;
        FOR in_lane IN 0..19 LOOP
            CONTINUE WHEN (s.lanes >> in_lane) & 1 = 0;
            SELECT ready_at, group_key INTO group_at, its_group_key FROM penstock.groups
            WHERE queue_number = s.queue_number AND groups.lane = in_lane AND ready_at >= s.head_floors[in_lane + 1]
                AND ready_at <= moment AND ready_at IS NOT NULL
            ORDER BY ready_at, turn LIMIT 1;
            IF FOUND THEN
                s.head_floors[in_lane + 1] := group_at;
                group_lane := in_lane;
                EXIT;
            END IF;
        END LOOP;
        IF at_lane IS NOT NULL
            AND (group_lane IS NULL OR at_lane < group_lane OR (at_lane = group_lane AND at_position <= group_at))
        THEN
            g := NULL;
        ELSIF group_lane IS NOT NULL THEN
            SELECT * INTO g FROM penstock.groups WHERE group_key = its_group_key;
            IF NOT q.is_strict THEN
                stepped := penstock.judge(q, s, g, moment);
                s := stepped.s;
                g := stepped.g;
                CONTINUE WHEN stepped.done;
                at_key := (penstock.head_of(q, s, g, moment))[1];
            END IF;
        ELSE
            stepped := penstock.least_noisy(q, s, moment);
            s := stepped.s;
            EXIT WHEN NOT stepped.done;
            g := stepped.g;
            at_key := (penstock.head_of(q, s, g, moment))[1];
        END IF;
        IF g.group_key IS NOT NULL AND q.is_strict THEN
            after := g.floor - 1;
            WHILE taken < wanted AND budget > 0 AND g.message_count > 0 LOOP
                SELECT * INTO m FROM penstock.messages
                WHERE group_key = g.group_key AND rank = 0 AND position > after ORDER BY position, message_key LIMIT 1;
                EXIT WHEN NOT FOUND OR m.visible_at > moment;
                after := m.position;
                stepped := penstock.clear(q, s, g, m, moment);
                s := stepped.s;
                g := stepped.g;
                IF stepped.done THEN
                    budget := budget - 1;
                ELSE
                    stepped := penstock.lease(q, s, g, m, tokens[taken + 1], until, holder, moment);
                    s := stepped.s;
                    g := stepped.g;
                    taken := taken + 1;
                    keys := array_append(keys, m.message_key);
                END IF;
            END LOOP;
            IF g.message_count > 0 THEN
                stepped := penstock.reseat(q, s, g, moment);
                s := stepped.s;
            END IF;
        ELSE
            SELECT * INTO m FROM penstock.messages WHERE message_key = at_key;
            stepped := penstock.clear(q, s, g, m, moment);
            s := stepped.s;
            IF stepped.done THEN
                budget := budget - 1;
            ELSE
                stepped := penstock.lease(q, s, g, m, tokens[taken + 1], until, holder, moment);
                s := stepped.s;
                taken := taken + 1;
                keys := array_append(keys, m.message_key);
            END IF;
        END IF;
    END LOOP;
    IF cardinality(keys) > 0 THEN
        -- what was taken one after the other is shown together
        RETURN QUERY SELECT * FROM penstock.deliver(
            owner, taken - cardinality(keys), keys, tokens[taken - cardinality(keys) + 1:taken]);
    END IF;
    IF taken > 0 AND attempt IS NOT NULL AND q.is_strict THEN
        INSERT INTO penstock.attempts (queue_number, attempt_id, message_keys, tokens, kept_until)
        SELECT s.queue_number, attempt, array_agg(message_key ORDER BY number), array_agg(token ORDER BY number),
               moment + 300000
        FROM unnest(tokens[1:taken]) WITH ORDINALITY AS leased(its_token, number)
        JOIN penstock.messages AS held ON held.token = leased.its_token
            AND held.queue_number = s.queue_number AND held.visible_at = until AND held.phase > 0
        ON CONFLICT (queue_number, attempt_id) DO UPDATE
        SET message_keys = excluded.message_keys, tokens = excluded.tokens, kept_until = excluded.kept_until;
    END IF;
    IF taken = 0 OR (is_shared AND taken < wanted) THEN
        s.is_awaited := true;
        IF answer.code = 0 AND NOT q.is_paused THEN
            answer.instant := CASE WHEN budget = 0 THEN moment ELSE penstock.next_ready_at(s, moment) END;
        END IF;
    END IF;
    RETURN NEXT answer;
    -- a receive that comes up empty where one has before writes nothing
    before.counted_at := s.counted_at;
    IF s IS DISTINCT FROM before THEN
        PERFORM penstock.save(s);
    END IF;
END $$;

-- Purpose: whether receives of a queue may be done as one: nothing but the order of messages decides who gets what.
CREATE OR REPLACE FUNCTION penstock.receives_together(queue_name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s penstock.queue_states := penstock.hold(queue_name);
BEGIN
    RETURN s.group_count = 0
        AND (SELECT max_in_flight IS NULL AND NOT is_paused FROM penstock.queues WHERE queue_number = s.queue_number);
END $$;
