-- Holding queues, and what every change of a queue's state is made of. See the end of a transaction as the end of a turn:
-- whoever holds a queue goes on alone with it until the commit.

-- Purpose: take the locks of queues, in one order for everybody, so that nobody waits in a circle.
-- Arguments: their names; unknown ones may be among them.
CREATE OR REPLACE FUNCTION penstock.hold_all(names text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('penstock.queues'), place.at)
    FROM (SELECT DISTINCT hashtext(name) AS at FROM unnest(names) AS name ORDER BY 1) AS place;
END $$;

-- Purpose: take the lock of one queue and read its state.
-- Arguments: its name.
-- Returns: the state; all NULL when there is no such queue.
CREATE OR REPLACE FUNCTION penstock.hold(queue_name text) RETURNS penstock.queue_states LANGUAGE plpgsql AS $$
DECLARE
    s penstock.queue_states;
BEGIN
    -- an assignment runs without a query of its own, which a lock that is free or held already does not need
    IF NOT pg_try_advisory_xact_lock(hashtext('penstock.queues'), hashtext(queue_name)) THEN
        PERFORM pg_advisory_xact_lock(hashtext('penstock.queues'), hashtext(queue_name));
    END IF;
    SELECT state.* INTO s
    FROM penstock.queues AS queue JOIN penstock.queue_states AS state USING (queue_number) WHERE queue.name = queue_name;
    RETURN s;
END $$;

-- Purpose: write a queue's state back.
CREATE OR REPLACE FUNCTION penstock.save(s penstock.queue_states) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE penstock.queue_states SET
        last_sequence = s.last_sequence, last_turn = s.last_turn, lanes = s.lanes, group_count = s.group_count,
        message_count = s.message_count, in_flight = s.in_flight, delayed = s.delayed, counted_at = s.counted_at,
        sent_total = s.sent_total, received_total = s.received_total, deleted_total = s.deleted_total,
        busy_period = s.busy_period, busy_current_ms = s.busy_current_ms, busy_previous_ms = s.busy_previous_ms,
        is_awaited = s.is_awaited, is_followed = s.is_followed, floors = s.floors, head_floors = s.head_floors
    WHERE queue_number = s.queue_number;
END $$;

-- Purpose: let the counts be those at an instant: each lease and delay that has ended since is counted once.
CREATE OR REPLACE FUNCTION penstock.advance(s penstock.queue_states, moment bigint)
RETURNS penstock.queue_states LANGUAGE plpgsql AS $$
DECLARE
    ended record;
BEGIN
    IF moment <= s.counted_at THEN
        RETURN s;
    END IF;
    FOR ended IN
        SELECT phase, group_key, count(*) AS number FROM penstock.messages
        WHERE queue_number = s.queue_number AND visible_at > s.counted_at AND visible_at <= moment AND phase > 0
        GROUP BY phase, group_key
    LOOP
        IF ended.phase = 1 THEN
            s.delayed := s.delayed - ended.number;
        ELSE
            s.in_flight := s.in_flight - ended.number;
            IF ended.group_key > 0 THEN
                UPDATE penstock.groups SET in_flight = in_flight - ended.number WHERE group_key = ended.group_key;
            END IF;
        END IF;
    END LOOP;
    s.counted_at := moment;
    RETURN s;
END $$;

-- Purpose: tell, when the transaction commits, that something may be receivable from an instant on: this process by the
-- replies, the others by a notification, and those only if a receive has come up empty since they were last told.
CREATE OR REPLACE FUNCTION penstock.wake(queue_name text, s penstock.queue_states, at bigint)
RETURNS penstock.queue_states LANGUAGE plpgsql AS $$
BEGIN
    IF s.woken_at IS NULL OR at < s.woken_at THEN
        s.woken_at := at;
        PERFORM penstock.tell(queue_name, NULL, at, s.is_awaited);
    ELSIF s.is_awaited THEN
        PERFORM penstock.tell(queue_name, NULL, NULL, true);
    END IF;
    s.is_awaited := false;
    RETURN s;
END $$;

-- Purpose: tell of a wake-up: this process from `at` on (NULL: not), the others at once if `tells_others`: each of them
-- looks once, whatever the instant, and those that find nothing ask to be told again.
-- Arguments: the group in which somebody follows; empty: any of the queue's; NULL: not who follows, but who receives.
CREATE OR REPLACE FUNCTION penstock.tell(queue_name text, followed bytea, at bigint, tells_others boolean)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := queue_name || coalesce(' g' || translate(encode(followed, 'base64'), E'\n', ''), '');
    told text;
BEGIN
    IF at IS NOT NULL THEN
        told := set_config('penstock_store.woken',
                           coalesce(current_setting('penstock_store.woken', true), '') || at || ' ' || name || E'\n', true);
    END IF;
    IF tells_others THEN
        PERFORM pg_notify('penstock.', coalesce(current_setting('penstock_store.writer', true), '') || ' ' || name);
    END IF;
END $$;

-- Purpose: keep an event if the queue's history wants it. Ids are given out one transaction after the other, so that who
-- reads on from an id misses nothing.
CREATE OR REPLACE FUNCTION penstock.note(
    q penstock.queues, kind text, message_ids uuid[], moment bigint, detail bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF q.history = 2 OR (q.history = 1 AND kind IN ('dead_lettered', 'expired')) THEN
        PERFORM pg_advisory_xact_lock(hashtext('penstock.events'), 0);
        INSERT INTO penstock.events (at, queue, message_id, kind, detail)
        SELECT moment, q.name, id, kind, detail FROM unnest(message_ids) WITH ORDINALITY AS wanted(id, number)
        ORDER BY number;
    END IF;
END $$;

-- Purpose: processing time of a delivery that has ended, added to what a queue or a group has of this and the last minute.
-- Returns: period, this minute's and the last one's. The rule is core.fairness.BusyTime.
CREATE OR REPLACE FUNCTION penstock.busy_at(period bigint, current_ms bigint, previous_ms bigint, moment bigint)
RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF moment / 60000 = period THEN
        RETURN ARRAY[period, current_ms, previous_ms];
    END IF;
    RETURN ARRAY[moment / 60000, 0, CASE WHEN moment / 60000 = period + 1 THEN current_ms ELSE 0 END];
END $$;
