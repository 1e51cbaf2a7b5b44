-- Receives that follow a delivery: what comes behind it in its strict group, while its lease lasts.

-- Purpose: lease at most as many messages as there are tokens, up to the first that is delayed or in flight.
-- Arguments: as of `receive`; `following`: the sequence number of the delivery, below 0: its receipt handle is none;
-- `its_token`: of the delivery.
-- Returns: as `receive`; the 'r' has the `group_id`, and as `code` also 2: nothing to follow, 3: the lease is over, 4: the
-- receipt handle is none.
CREATE OR REPLACE FUNCTION penstock.follow(
    queue_name text, owner integer, tokens bytea[], timeout_ms bigint, moment bigint, holder bytea, following bigint,
    its_token bytea
) RETURNS SETOF penstock.reply LANGUAGE plpgsql AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states := penstock.hold(queue_name);
    before penstock.queue_states := s;
    g penstock.groups;
    followed penstock.messages;
    m penstock.messages;
    answer penstock.reply;
    stepped penstock.step;
    until bigint;
    wanted integer := cardinality(tokens);
    taken integer := 0;
    budget integer := 100;
    keys bigint[] := '{}';
    after bigint;
    freed bigint;
BEGIN
    answer.owner := owner;
    IF s.queue_number IS NULL THEN
        answer.kind := 'x';
        RETURN NEXT answer;
        RETURN;
    END IF;
    SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
    SELECT * INTO followed FROM penstock.messages
    WHERE message_key = (s.queue_number << 40) | following AND token = its_token AND visible_at > moment;
    answer.kind := 'r';
    answer.code := CASE WHEN NOT q.is_strict THEN 2 WHEN following < 0 THEN 4 WHEN followed.message_key IS NULL THEN 3
                        WHEN followed.group_key < 0 THEN 2 ELSE 0 END;
    IF answer.code > 0 THEN
        RETURN NEXT answer;
        RETURN;
    END IF;
    answer.message_key := q.receive_wait_ms;
    answer.instant := followed.visible_at;
    answer.group_id := followed.group_id;
    until := moment + greatest(1, coalesce(timeout_ms, q.visibility_timeout_ms));
    s := penstock.advance(s, moment);
    g := penstock.group_of(followed);
    IF q.max_in_flight IS NOT NULL AND NOT q.is_paused THEN
        wanted := least(wanted, q.max_in_flight - s.in_flight);
        IF wanted <= 0 THEN
            answer.code := 1;
            SELECT visible_at INTO freed FROM penstock.messages
            WHERE queue_number = s.queue_number AND visible_at > moment AND phase = 2 AND phase > 0
            ORDER BY visible_at LIMIT 1 OFFSET s.in_flight - q.max_in_flight;
            answer.instant := least(answer.instant, freed);
        END IF;
    END IF;
    IF wanted > 0 AND NOT (q.is_paused OR g.is_parked) THEN
        after := followed.position;
        WHILE taken < wanted AND budget > 0 LOOP
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
        IF budget = 0 THEN
            answer.instant := moment;
        ELSE
            answer.instant := least(answer.instant, (
                SELECT visible_at FROM penstock.messages
                WHERE group_key = g.group_key AND rank = 0 AND position > followed.position
                ORDER BY position, message_key LIMIT 1));
        END IF;
    END IF;
    IF taken > 0 THEN
        RETURN QUERY SELECT * FROM penstock.deliver(owner, 0, keys, tokens[1:taken]);
        stepped := penstock.reseat(q, s, g, moment);
        s := stepped.s;
    ELSE
        UPDATE penstock.groups SET is_followed = true WHERE group_key = g.group_key AND NOT is_followed;
        s.is_followed := q.max_in_flight IS NOT NULL;
    END IF;
    RETURN NEXT answer;
    -- one that comes up empty where one has before writes nothing
    before.counted_at := s.counted_at;
    IF s IS DISTINCT FROM before THEN
        PERFORM penstock.save(s);
    END IF;
END $$;
