-- Message groups: the index of heads that receives choose from, kept right by reseating a group after each change.

-- Purpose: find a group by its id, made now if need be.
-- Returns: the step; `done`: whether it was made, and group_count has grown.
CREATE OR REPLACE FUNCTION penstock.group_by_id(s penstock.queue_states, wanted bytea)
RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    g penstock.groups;
BEGIN
    SELECT * INTO g FROM penstock.groups WHERE queue_number = s.queue_number AND group_id = wanted;
    IF FOUND THEN
        RETURN (s, g, false);
    END IF;
    INSERT INTO penstock.groups (queue_number, group_id) VALUES (s.queue_number, wanted) RETURNING * INTO g;
    s.group_count := s.group_count + 1;
    RETURN (s, g, true);
END $$;

-- Purpose: tell who follows in a group of a strict queue; the caller saves the group.
CREATE OR REPLACE FUNCTION penstock.wake_group(queue_name text, g penstock.groups, at bigint)
RETURNS penstock.groups LANGUAGE plpgsql AS $$
BEGIN
    PERFORM penstock.tell(queue_name, g.group_id, at, g.is_followed);
    g.is_followed := false;
    RETURN g;
END $$;

-- Purpose: tell who follows in the group of a message that changes or goes, and under a limit who follows in any group
-- when a lease ends.
-- Arguments: the group, all NULL if the message has none; `at`: when it is visible again or gone; `frees_at`: when its
-- lease ends.
CREATE OR REPLACE FUNCTION penstock.wake_followers(
    q penstock.queues, s penstock.queue_states, g penstock.groups, at bigint, frees_at bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
BEGIN
    IF q.is_strict AND g.group_key > 0 THEN
        g := penstock.wake_group(q.name, g, at);
    END IF;
    IF q.is_strict AND q.max_in_flight IS NOT NULL THEN
        PERFORM penstock.tell(q.name, '', frees_at, s.is_followed);
        s.is_followed := false;
    END IF;
    RETURN (s, g, true);
END $$;

-- Purpose: the message a group hands out next, which it must have.
-- Returns: message key, visible at, lane.
CREATE OR REPLACE FUNCTION penstock.head_of(
    q penstock.queues, s penstock.queue_states, g penstock.groups, moment bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    head_key bigint;
    head_at bigint;
    its_priority integer;
    soonest bigint[];
BEGIN
    IF q.is_strict THEN
        SELECT message_key, visible_at, priority INTO head_key, head_at, its_priority FROM penstock.messages
        WHERE group_key = g.group_key AND rank = 0 AND position >= g.floor ORDER BY position, message_key LIMIT 1;
        RETURN ARRAY[head_key, head_at, 2 * (9 - its_priority) + 1];
    END IF;
    FOR lane IN 0..19 LOOP
        CONTINUE WHEN (s.lanes >> lane) & 1 = 0;
        SELECT message_key, visible_at INTO head_key, head_at FROM penstock.messages
        WHERE group_key = g.group_key AND rank = lane ORDER BY position, message_key LIMIT 1;
        CONTINUE WHEN NOT FOUND;
        IF head_at <= moment THEN
            RETURN ARRAY[head_key, head_at, lane];
        END IF;
        IF soonest IS NULL OR head_at < soonest[2] THEN
            soonest := ARRAY[head_key, head_at, lane];
        END IF;
    END LOOP;
    RETURN soonest;
END $$;

-- Purpose: when a group that holds all the leases it may gets one back; the past if it may have more.
CREATE OR REPLACE FUNCTION penstock.freed_at(q penstock.queues, g penstock.groups, moment bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    freed bigint;
BEGIN
    -- leases that have ended may still be counted, never the other way round
    IF q.group_max_in_flight IS NULL OR g.in_flight < q.group_max_in_flight THEN
        RETURN 0;
    END IF;
    SELECT visible_at INTO freed FROM penstock.messages
    WHERE queue_number = g.queue_number AND visible_at > moment AND phase = 2 AND phase > 0 AND group_key = g.group_key
    ORDER BY visible_at DESC LIMIT 1 OFFSET q.group_max_in_flight - 1;
    RETURN coalesce(freed, 0);
END $$;

-- Purpose: save a changed group with its place among the heads; an empty one goes.
CREATE OR REPLACE FUNCTION penstock.reseat(
    q penstock.queues, s penstock.queue_states, g penstock.groups, moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    head bigint[];
BEGIN
    IF g.message_count = 0 AND NOT g.is_parked THEN
        DELETE FROM penstock.groups WHERE group_key = g.group_key;
        s.group_count := s.group_count - 1;
        RETURN (s, g, true);
    END IF;
    IF g.message_count = 0 OR g.is_parked THEN
        g.ready_at := NULL;
        g.head_key := NULL;
        g.head_visible_at := NULL;
    ELSE
        head := penstock.head_of(q, s, g, moment);
        IF q.is_strict THEN
            g.floor := head[1] & ((1::bigint << 40) - 1);
            IF g.ready_at IS NULL OR g.head_key <> head[1] OR g.head_visible_at <> head[2] THEN
                s.last_turn := s.last_turn + 1;
                g.turn := s.last_turn;
                g.ready_at := greatest(head[2], moment);
            END IF;
        ELSE
            g.turn := head[1];
            g.ready_at := greatest(head[2], penstock.freed_at(q, g, moment));
        END IF;
        g.head_key := head[1];
        g.head_visible_at := head[2];
        g.lane := CASE WHEN g.is_noisy THEN 20 ELSE head[3] END;
        IF g.ready_at < s.head_floors[g.lane + 1] THEN
            s.head_floors[g.lane + 1] := g.ready_at;
        END IF;
    END IF;
    UPDATE penstock.groups SET
        lane = g.lane, ready_at = g.ready_at, turn = g.turn, head_key = g.head_key, head_visible_at = g.head_visible_at,
        floor = g.floor, message_count = g.message_count, in_flight = g.in_flight, is_parked = g.is_parked,
        is_noisy = g.is_noisy, is_followed = g.is_followed, last_sent_at = g.last_sent_at, busy_period = g.busy_period,
        busy_current_ms = g.busy_current_ms, busy_previous_ms = g.busy_previous_ms
    WHERE group_key = g.group_key;
    RETURN (s, g, true);
END $$;

-- Purpose: whether a tenant is noisy now (the rule is core.fairness.is_noisy); when that changed it is reseated.
-- Arguments: counts must be those at `moment`.
-- Returns: the step; `done`: noisy.
CREATE OR REPLACE FUNCTION penstock.judge(
    q penstock.queues, s penstock.queue_states, g penstock.groups, moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    own bigint[];
    queues bigint[];
    verdict boolean;
    seated penstock.step;
BEGIN
    IF g.is_noisy AND g.message_count > g.in_flight AND moment - g.last_sent_at < 300000 THEN
        verdict := true;
    ELSIF g.in_flight >= 30 AND g.in_flight * 10 > s.in_flight THEN
        verdict := true;
    ELSIF g.in_flight > 0 THEN
        own := penstock.busy_at(g.busy_period, g.busy_current_ms, g.busy_previous_ms, moment);
        queues := penstock.busy_at(s.busy_period, s.busy_current_ms, s.busy_previous_ms, moment);
        verdict := own[2] + own[3] > 0 AND (own[2] + own[3]) * 10 > queues[2] + queues[3];
    ELSE
        verdict := false;
    END IF;
    IF verdict <> g.is_noisy THEN
        g.is_noisy := verdict;
        seated := penstock.reseat(q, s, g, moment);
        RETURN (seated.s, seated.g, verdict);
    END IF;
    RETURN (s, g, verdict);
END $$;
