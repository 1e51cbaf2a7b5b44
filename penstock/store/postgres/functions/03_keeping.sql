-- The steps verbs are made of: keep, forget, dead-letter. Each gets the queue's state and returns it changed; the caller
-- saves it. Groups are saved as they are reseated.

-- Purpose: put a message in its place: its number, its group, its order; count it and wake who waits for it.
-- Arguments: the message as it is to be kept, except its key, queue, group key, rank, position and phase.
-- Returns: the step; raises unique_violation when its id is kept already.
CREATE OR REPLACE FUNCTION penstock.keep(
    q penstock.queues, s penstock.queue_states, m penstock.messages, moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    stepped penstock.step;
    g penstock.groups;
    lane integer := 2 * (9 - m.priority) + 1;
    is_behind boolean := false;
BEGIN
    s.last_sequence := s.last_sequence + 1;
    m.queue_number := s.queue_number;
    m.message_key := (s.queue_number << 40) | s.last_sequence;
    m.phase := CASE WHEN m.visible_at <= moment THEN 0 ELSE 1 END;
    m.rank := lane;
    m.position := m.visible_at;
    m.group_key := -s.queue_number;
    IF m.group_id IS NOT NULL THEN
        stepped := penstock.group_by_id(s, m.group_id);
        s := stepped.s;
        g := stepped.g;
        m.group_key := g.group_key;
        IF q.is_strict THEN
            m.rank := 0;
            m.position := s.last_sequence;
        END IF;
    ELSIF m.position < s.floors[lane + 1] THEN
        s.floors[lane + 1] := m.position;
    END IF;
    INSERT INTO penstock.messages VALUES (m.*);
    s.sent_total := s.sent_total + 1;
    s.message_count := s.message_count + 1;
    s.lanes := s.lanes | (1 << lane);
    IF m.visible_at > s.counted_at AND m.phase = 1 THEN
        s.delayed := s.delayed + 1;
    END IF;
    IF m.group_id IS NOT NULL THEN
        g.message_count := g.message_count + 1;
        g.last_sent_at := moment;
        IF q.is_strict AND g.message_count > 1 THEN
            -- it stands behind others: nobody but who follows one of them may receive it next
            is_behind := true;
            g := penstock.wake_group(q.name, g, m.visible_at);
        END IF;
        stepped := penstock.reseat(q, s, g, moment);
        s := stepped.s;
        g := stepped.g;
    END IF;
    IF NOT is_behind THEN
        s := penstock.wake(q.name, s, m.visible_at);
    END IF;
    RETURN (s, g, true);
END $$;

-- Purpose: take a message into or out of the counts of leased and delayed.
-- Arguments: `by`: 1 or -1, before it changes or goes and after it has changed.
CREATE OR REPLACE FUNCTION penstock.count(
    s penstock.queue_states, g penstock.groups, its_phase integer, at bigint, by integer
) RETURNS penstock.step LANGUAGE plpgsql AS $$
BEGIN
    IF at > s.counted_at THEN
        IF its_phase = 2 THEN
            s.in_flight := s.in_flight + by;
            g.in_flight := g.in_flight + by;
        ELSIF its_phase = 1 THEN
            s.delayed := s.delayed + by;
        END IF;
    END IF;
    RETURN (s, g, true);
END $$;

-- Purpose: remove a message; its group is reseated, or goes when it is empty.
CREATE OR REPLACE FUNCTION penstock.forget(
    q penstock.queues, s penstock.queue_states, g penstock.groups, m penstock.messages, moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    stepped penstock.step;
BEGIN
    DELETE FROM penstock.messages WHERE message_key = m.message_key;
    stepped := penstock.count(s, g, m.phase, m.visible_at, -1);
    s := stepped.s;
    g := stepped.g;
    s.message_count := s.message_count - 1;
    IF s.message_count = 0 THEN
        s.lanes := 0;
    END IF;
    IF q.is_strict THEN
        stepped := penstock.wake_followers(q, s, g, moment, moment);
        s := stepped.s;
        g := stepped.g;
    END IF;
    IF m.group_key > 0 THEN
        g.message_count := g.message_count - 1;
        RETURN penstock.reseat(q, s, g, moment);
    END IF;
    RETURN (s, g, true);
END $$;

-- Purpose: set when a message is visible again, in the place that belongs to that; its group is reseated.
-- Arguments: the message as it was, and as it shall be.
CREATE OR REPLACE FUNCTION penstock.change(
    q penstock.queues, s penstock.queue_states, g penstock.groups, was penstock.messages, m penstock.messages,
    moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    stepped penstock.step;
BEGIN
    IF NOT q.is_strict OR m.group_key < 0 THEN
        m.position := m.visible_at;
        IF m.group_key < 0 AND m.position < s.floors[m.rank + 1] THEN
            s.floors[m.rank + 1] := m.position;
        END IF;
    END IF;
    UPDATE penstock.messages SET
        visible_at = m.visible_at, rank = m.rank, position = m.position, phase = m.phase, token = m.token,
        owner = m.owner, receive_count = m.receive_count
    WHERE message_key = m.message_key;
    stepped := penstock.count(s, g, was.phase, was.visible_at, -1);
    stepped := penstock.count(stepped.s, stepped.g, m.phase, m.visible_at, 1);
    IF q.is_strict THEN
        stepped := penstock.wake_followers(q, stepped.s, stepped.g, m.visible_at, m.visible_at);
    END IF;
    IF m.group_key > 0 THEN
        stepped := penstock.reseat(q, stepped.s, stepped.g, moment);
    END IF;
    s := penstock.wake(q.name, stepped.s, m.visible_at);
    RETURN (s, stepped.g, true);
END $$;

-- Purpose: a message with another end of its lease.
CREATE OR REPLACE FUNCTION penstock.until(m penstock.messages, until bigint) RETURNS penstock.messages
LANGUAGE plpgsql AS $$
BEGIN
    m.visible_at := until;
    RETURN m;
END $$;

-- Purpose: move a message to the dead-letter queue.
-- Returns: the step; not `done` when there is none, and then nothing changed.
CREATE OR REPLACE FUNCTION penstock.dead_letter(
    q penstock.queues, s penstock.queue_states, g penstock.groups, m penstock.messages, reason bytea, moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    target penstock.queues;
    target_state penstock.queue_states;
    forgotten penstock.step;
    kept penstock.step;
    kept_in penstock.groups;
BEGIN
    IF q.dead_letter_queue IS NULL THEN
        RETURN (s, g, false);
    END IF;
    target_state := penstock.hold(q.dead_letter_queue);
    IF target_state.queue_number IS NULL THEN
        RETURN (s, g, false);
    END IF;
    forgotten := penstock.forget(q, s, g, m, moment);
    PERFORM penstock.note(q, 'dead_lettered', ARRAY[m.message_id], moment, reason);
    m.token := NULL;
    m.owner := NULL;
    m.received_at := NULL;
    m.visible_at := moment;
    m.carried_count := m.receive_count;
    m.dead_letter_source := q.name;
    IF q.is_fifo THEN
        m.sent_at := moment;
    END IF;
    IF target_state.queue_number = s.queue_number THEN
        -- it dead-letters into itself: the message goes behind the others of its group
        kept := penstock.keep(q, forgotten.s, m, moment);
        kept_in := kept.g;
        g := forgotten.g;
        RETURN (kept.s, CASE WHEN kept_in.group_key = g.group_key THEN kept_in ELSE g END, true);
    END IF;
    SELECT * INTO target FROM penstock.queues WHERE queue_number = target_state.queue_number;
    kept := penstock.keep(target, target_state, m, moment);
    PERFORM penstock.save(kept.s);
    RETURN (forgotten.s, forgotten.g, true);
END $$;

-- Purpose: forget a message that has expired, or dead-letter one that is spent.
-- Returns: the step; `done`: it was one of these.
CREATE OR REPLACE FUNCTION penstock.clear(
    q penstock.queues, s penstock.queue_states, g penstock.groups, m penstock.messages, moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    stepped penstock.step;
BEGIN
    IF m.sent_at + q.retention_ms <= moment OR m.expires_at <= moment THEN
        stepped := penstock.forget(q, s, g, m, moment);
        PERFORM penstock.note(q, 'expired', ARRAY[m.message_id], moment, NULL);
        RETURN (stepped.s, stepped.g, true);
    END IF;
    IF m.receive_count - m.carried_count >= q.max_receive_count THEN
        RETURN penstock.dead_letter(q, s, g, m, 'received too often'::bytea, moment);
    END IF;
    RETURN (s, g, false);
END $$;

-- Purpose: the group of a message; all NULL when it has none.
CREATE OR REPLACE FUNCTION penstock.group_of(m penstock.messages) RETURNS penstock.groups LANGUAGE plpgsql AS $$
DECLARE
    g penstock.groups;
BEGIN
    IF m.group_key > 0 THEN
        SELECT * INTO g FROM penstock.groups WHERE group_key = m.group_key;
    END IF;
    RETURN g;
END $$;

-- Purpose: count the processing time of a delivery that has ended against its tenant.
CREATE OR REPLACE FUNCTION penstock.count_busy(
    q penstock.queues, s penstock.queue_states, g penstock.groups, m penstock.messages, moment bigint
) RETURNS penstock.step LANGUAGE plpgsql AS $$
DECLARE
    own bigint[];
    queues bigint[];
    busy_ms bigint := greatest(0, moment - m.received_at);
BEGIN
    IF m.group_key > 0 AND NOT q.is_strict AND m.received_at IS NOT NULL THEN
        queues := penstock.busy_at(s.busy_period, s.busy_current_ms, s.busy_previous_ms, moment);
        s.busy_period := queues[1];
        s.busy_current_ms := queues[2] + busy_ms;
        s.busy_previous_ms := queues[3];
        own := penstock.busy_at(g.busy_period, g.busy_current_ms, g.busy_previous_ms, moment);
        g.busy_period := own[1];
        g.busy_current_ms := own[2] + busy_ms;
        g.busy_previous_ms := own[3];
    END IF;
    RETURN (s, g, true);
END $$;
