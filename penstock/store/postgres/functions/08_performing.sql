-- A batch: what many callers of one process ask for, in one transaction and one statement. Within it settlements come
-- first, then sends, then receives; none of them waited for another, so any order is theirs.

-- Purpose: begin a transaction of a writer: name it, and find out whether this batch has happened already.
-- Arguments: `durability` NULL or what synchronous_commit shall be.
-- Returns: whether it has.
CREATE OR REPLACE FUNCTION penstock.begin_batch(its_writer bigint, its_batch bigint, durability text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    told text := set_config('penstock_store.writer', its_writer::text, true);
    known bigint;
BEGIN
    IF durability IS NOT NULL THEN
        told := set_config('synchronous_commit', durability, true);
    END IF;
    -- who asks again waits here for the first attempt, if that is still at work on a lost connection
    SELECT batch INTO known FROM penstock.writers WHERE writer = its_writer FOR UPDATE;
    RETURN known >= its_batch;
END $$;

-- Purpose: end a transaction of a writer: keep what came of the batch, in case its answer is lost.
-- Arguments: `outcomes`: pairs of (kind, owner, number, code in one number) and message key.
CREATE OR REPLACE FUNCTION penstock.end_batch(its_writer bigint, its_batch bigint, its_outcomes bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE penstock.writers SET batch = its_batch, outcomes = its_outcomes, touched_on = current_date
    WHERE writer = its_writer;
    IF NOT FOUND THEN
        INSERT INTO penstock.writers (writer, batch, outcomes) VALUES (its_writer, its_batch, its_outcomes);
    END IF;
END $$;

-- Purpose: the replies of the batch that a writer has committed last, once more; of receives, what their tokens hold.
-- Arguments: those of the receives, as of `perform`.
CREATE OR REPLACE FUNCTION penstock.repeat_batch(
    its_writer bigint, receive_queue text[], receive_spans integer[], receive_tokens bytea[], receive_following bigint[]
) RETURNS SETOF penstock.reply LANGUAGE plpgsql AS $$
DECLARE
    answer penstock.reply;
BEGIN
    RETURN QUERY SELECT
        chr((given.packed >> 56)::integer)::"char", ((given.packed >> 32) & 16777215)::integer,
        ((given.packed >> 8) & 16777215)::integer, (given.packed & 255)::integer, given.message_key, kept.message_id,
        NULL::bigint, NULL::text, NULL::integer, NULL::integer, NULL::bigint, NULL::bigint, NULL::text, NULL::bytea,
        NULL::bytea, NULL::bytea, NULL::bytea
    FROM (
        SELECT outcomes[place * 2 - 1] AS packed, outcomes[place * 2] AS message_key
        FROM penstock.writers, generate_series(1, cardinality(outcomes) / 2) AS place WHERE writer = its_writer
    ) AS given
    LEFT JOIN penstock.messages AS kept ON kept.message_key = given.message_key;
    FOR each IN 1..cardinality(receive_queue) LOOP
        RETURN QUERY SELECT
            'm'::"char", each - 1, wanted.number::integer - 1, NULL::integer, m.message_key, m.message_id, m.visible_at,
            NULL::text, m.receive_count, m.priority, m.sent_at, m.first_received_at, m.dead_letter_source, m.group_id,
            m.deduplication_id, m.extras, m.body
        FROM unnest(receive_tokens[receive_spans[each * 2 - 1]:receive_spans[each * 2]]) WITH ORDINALITY
                 AS wanted(its_token, number)
        JOIN penstock.queues AS queue ON queue.name = receive_queue[each]
        JOIN penstock.messages AS m
            ON m.queue_number = queue.queue_number AND m.phase > 0 AND m.phase = 2 AND m.token = wanted.its_token;
        answer.kind := 'r';
        answer.owner := each - 1;
        answer.code := 0;
        answer.message_key := 0;
        answer.instant := 0;
        SELECT m.group_id INTO answer.group_id FROM penstock.queues AS queue
        JOIN penstock.messages AS m ON m.message_key = (queue.queue_number << 40) | receive_following[each]
        WHERE queue.name = receive_queue[each];
        RETURN NEXT answer;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION penstock.packed(r penstock.reply) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN (ascii(r.kind::text)::bigint << 56) | (coalesce(r.owner, 0)::bigint << 32)
        | (coalesce(r.number, 0)::bigint << 8) | coalesce(r.code, 0);
END $$;

-- Purpose: perform a batch.
-- Arguments, each a set of parallel arrays:
--   settle_*: settlements, by owner 0, 1, ...; action and flags as of settle_one, action 9: effects alone, flag 8: deletes
--     and has no effects but records, 16:
--     these have keys of their own and replace what is there; `spans` has 14 numbers for each: first and count of its drafts,
--     joins, arrivals, records, guards, forgets, and of what ends also;
--   draft_*: messages to send as effects, and those of joins;
--   join_*, arrival_*, record_*: effects; `join_draft` is a place among the drafts, `record_tag_spans` first and count of
--     the record's `tag_texts`;
--   guard_*, forget_key: effects; also_*: more deliveries that end with a settlement;
--   send_*: messages to send, grouped by queue: `send_queues` with first and last of each in `send_spans`;
--   receive_*: receives; `receive_spans` first and last of each in `receive_tokens`; `receive_groups` first and last of
--     those that differ in nothing but their tokens, and may be done as one; `receive_following` as of `follow`, or NULL.
-- Returns: a 'd' for each settlement (`code` as of settle_one, 6: no such queue; 5: `number` is the refused draft, its
-- queue's settings in `extras`; 7: `number` is the guard), for effects alone an 'e' for each message and a 'k' for each record (`code` 1: kept);
-- then what send_batch, receive and woken return. An 'a' first of all: the batch had happened already.
CREATE OR REPLACE FUNCTION penstock.perform(
    its_writer bigint, its_batch bigint, durability text,
    settle_queue text[], settle_sequence bigint[], settle_token bytea[], settle_action integer[], settle_flags integer[],
    settle_hold_ms bigint[], settle_most_ms bigint[], settle_detail bytea[], settle_moment bigint[], spans integer[],
    draft_queue text[], draft_id uuid[], draft_body bytea[], draft_size bigint[], draft_group bytea[],
    draft_deduplication bytea[], draft_extras bytea[], draft_priority integer[], draft_delay_ms bigint[],
    draft_deliver_at bigint[], draft_live_ms bigint[],
    join_id bytea[], join_parts integer[], join_draft integer[], join_ends bigint[],
    arrival_join bytea[], arrival_part bytea[],
    record_key bytea[], record_value bytea[], record_tags bytea[], record_tag_spans integer[], record_ends bigint[],
    record_only_absent boolean[], record_owner integer[], tag_texts bytea[], tag_record integer[],
    guard_key bytea[], guard_value bytea[], forget_key bytea[], also_sequence bigint[], also_token bytea[],
    send_queues text[], send_spans integer[], send_id uuid[], send_body bytea[], send_size bigint[], send_group bytea[],
    send_deduplication bytea[], send_extras bytea[], send_priority integer[], send_delay_ms bigint[],
    send_deliver_at bigint[], send_live_ms bigint[], send_moment bigint[],
    receive_queue text[], receive_spans integer[], receive_tokens bytea[], receive_timeout_ms bigint[],
    receive_moment bigint[], receive_owner bytea[], receive_attempt bytea[], receive_groups integer[],
    receive_following bigint[], receive_following_token bytea[]
) RETURNS SETOF penstock.reply LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    q penstock.queues;
    s penstock.queue_states;
    answer penstock.reply;
    outcomes bigint[] := '{}';
    drafts penstock.draft[];
    is_done boolean[] := '{}';
    all_done integer[] := '{}';
    deleted record;
    plain record;
    settled penstock.sending;
    refused integer;
    reason integer;
    at integer;
    held text;
    kept boolean;
BEGIN
    IF penstock.begin_batch(its_writer, its_batch, durability) THEN
        answer.kind := 'a';
        RETURN NEXT answer;
        RETURN QUERY SELECT * FROM penstock.repeat_batch(
            its_writer, receive_queue, receive_spans, receive_tokens, receive_following);
        RETURN;
    END IF;
    PERFORM penstock.hold_all(
        settle_queue || draft_queue || send_queues || receive_queue
        || ARRAY(SELECT j.queue FROM penstock.joins AS j WHERE j.join_id = ANY (arrival_join)));
    IF cardinality(guard_key) > 0 THEN
        PERFORM penstock.hold_records(guard_key);
    END IF;
    answer.kind := 'd';
    answer.number := 0;
    -- deliveries that are merely deleted, queue by queue
    FOR plain IN
        SELECT given.queue, array_agg(given.owner) AS owners, array_agg(given.sequence) AS sequences,
               array_agg(given.token) AS tokens, array_agg(given.flag) AS flags, array_agg(given.moment) AS moments
        FROM (
            SELECT number::integer AS owner, queue, sequence, token, flag, moment
            FROM unnest(settle_queue, settle_sequence, settle_token, settle_flags, settle_moment) WITH ORDINALITY
                     AS one(queue, sequence, token, flag, moment, number)
            WHERE flag & 8 <> 0
        ) AS given
        GROUP BY given.queue
    LOOP
        s := penstock.hold(plain.queue);
        SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
        CONTINUE WHEN s.queue_number IS NULL OR s.group_count > 0 OR q.history = 2;
        deleted := penstock.delete_plain(q, s, plain.owners, plain.sequences, plain.tokens, plain.flags, plain.moments);
        CONTINUE WHEN cardinality(deleted.done) = 0;
        PERFORM penstock.save(deleted.after);
        RETURN QUERY SELECT 'd'::"char", gone.owner - 1, 0, 0, NULL::bigint, gone.id, NULL::bigint, NULL::text, NULL::integer,
                            NULL::integer, NULL::bigint, NULL::bigint, NULL::text, NULL::bytea, NULL::bytea, NULL::bytea,
                            NULL::bytea
                     FROM unnest(deleted.done, deleted.ids) AS gone(owner, id);
        all_done := all_done || deleted.done;
    END LOOP;
    IF cardinality(all_done) > 0 THEN
        outcomes := ARRAY(
            SELECT unnest(ARRAY[(100::bigint << 56) | ((owner - 1)::bigint << 32), 0]) FROM unnest(all_done) AS owner);
        FOREACH at IN ARRAY all_done LOOP
            is_done[at] := true;
        END LOOP;
        IF cardinality(record_key) > 0 THEN
            PERFORM penstock.put_plain_records(
                record_key, record_value, record_tags, record_ends, tag_texts, tag_record,
                ARRAY(SELECT place::integer FROM unnest(record_owner) WITH ORDINALITY AS record(owner, place)
                      WHERE record.owner = ANY (all_done) AND settle_flags[record.owner] & 16 <> 0));
        END IF;
    END IF;
    IF cardinality(draft_id) > 0 THEN
        SELECT array_agg((d.a, d.b, d.c, d.d, d.e, d.f, d.g, d.h, d.i, d.j)::penstock.draft ORDER BY d.number) INTO drafts
        FROM unnest(draft_id, draft_body, draft_size, draft_group, draft_deduplication, draft_extras, draft_priority,
                    draft_delay_ms, draft_deliver_at, draft_live_ms) WITH ORDINALITY
                 AS d(a, b, c, d, e, f, g, h, i, j, number);
    END IF;
    FOR each IN 1..cardinality(settle_queue) LOOP
        CONTINUE WHEN is_done[each] AND (spans[each * 14 - 6] = 0 OR settle_flags[each] & 16 <> 0);
        at := (each - 1) * 14;
        answer.kind := 'd';
        answer.owner := each - 1;
        answer.number := 0;
        answer.code := 0;
        answer.message_id := NULL;
        answer.extras := NULL;
        IF is_done[each] IS NULL THEN
            refused := NULL;
            IF spans[at + 10] > 0 THEN
                reason := 7;
                refused := spans[at + 9] - 1 + penstock.first_unmet(
                    guard_key[spans[at + 9]:spans[at + 9] + spans[at + 10] - 1],
                    guard_value[spans[at + 9]:spans[at + 9] + spans[at + 10] - 1], settle_moment[each]);
            END IF;
            IF refused IS NULL AND spans[at + 2] > 0 THEN
                reason := 5;
                -- its drafts, then those of its joins
                refused := spans[at + 1] - 1 + penstock.first_refused(
                    draft_queue[spans[at + 1]:spans[at + 1] + spans[at + 2] - 1],
                    drafts[spans[at + 1]:spans[at + 1] + spans[at + 2] - 1]);
            END IF;
            IF settle_action[each] = 9 THEN
                IF held IS NOT NULL AND s.queue_number IS NOT NULL THEN
                    PERFORM penstock.save(s);
                END IF;
                held := NULL;
                answer.code := CASE WHEN refused IS NULL THEN 0 ELSE 5 END;
            ELSE
                IF held IS DISTINCT FROM settle_queue[each] THEN
                    IF held IS NOT NULL AND s.queue_number IS NOT NULL THEN
                        PERFORM penstock.save(s);
                    END IF;
                    held := settle_queue[each];
                    s := penstock.hold(held);
                    SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
                END IF;
                IF s.queue_number IS NULL THEN
                    answer.code := 6;
                ELSE
                    IF spans[at + 14] > 0 THEN
                        settled := penstock.settle_together(
                            q, s,
                            settle_sequence[each] || also_sequence[spans[at + 13]:spans[at + 13] + spans[at + 14] - 1],
                            settle_token[each] || also_token[spans[at + 13]:spans[at + 13] + spans[at + 14] - 1],
                            settle_action[each], settle_flags[each], settle_hold_ms[each], settle_most_ms[each],
                            settle_detail[each], refused IS NOT NULL, settle_moment[each]);
                    ELSE
                        settled := penstock.settle_one(
                            q, s, settle_sequence[each], settle_token[each], settle_action[each], settle_flags[each],
                            settle_hold_ms[each], settle_most_ms[each], settle_detail[each], refused IS NOT NULL,
                            settle_moment[each]);
                    END IF;
                    s := settled.s;
                    answer.code := settled.code;
                    answer.message_id := settled.message_id;
                    IF spans[at + 2] + spans[at + 4] + spans[at + 6] > 0 THEN
                        -- effects read and write states themselves, perhaps this one
                        PERFORM penstock.save(s);
                        held := NULL;
                    END IF;
                END IF;
            END IF;
            IF answer.code = 5 THEN
                answer.code := reason;
                answer.number := refused;
                IF reason = 5 THEN
                    SELECT settings INTO answer.extras FROM penstock.queues WHERE name = draft_queue[refused];
                END IF;
            END IF;
            RETURN NEXT answer;
            outcomes := array_append(array_append(outcomes, penstock.packed(answer)), 0::bigint);
        END IF;
        CONTINUE WHEN answer.code <> 0;
        IF spans[at + 12] > 0 THEN
            PERFORM penstock.delete_records(forget_key[spans[at + 11]:spans[at + 11] + spans[at + 12] - 1]);
        END IF;
        FOR place IN spans[at + 1]..spans[at + 1] + spans[at + 2] - spans[at + 4] - 1 LOOP
            IF held IS DISTINCT FROM draft_queue[place] THEN
                IF held IS NOT NULL THEN
                    PERFORM penstock.save(s);
                END IF;
                held := draft_queue[place];
                s := penstock.hold(held);
                SELECT * INTO q FROM penstock.queues WHERE queue_number = s.queue_number;
            END IF;
            settled := penstock.send_one(q, s, drafts[place], settle_moment[each]);
            s := settled.s;
            IF settle_action[each] = 9 THEN
                answer.kind := 'e';
                answer.number := place - spans[at + 1];
                answer.code := settled.code;
                answer.message_id := settled.message_id;
                answer.message_key := settled.message_key;
                RETURN NEXT answer;
                outcomes := array_append(array_append(outcomes, penstock.packed(answer)), settled.message_key);
            END IF;
        END LOOP;
        IF spans[at + 2] > spans[at + 4] THEN
            PERFORM penstock.save(s);
            held := NULL;
        END IF;
        FOR place IN spans[at + 7]..spans[at + 7] + spans[at + 8] - 1 LOOP
            kept := penstock.put_record(
                record_key[place], record_value[place], record_tags[place],
                tag_texts[record_tag_spans[place * 2 - 1]
                          :record_tag_spans[place * 2 - 1] + record_tag_spans[place * 2] - 1],
                record_ends[place], record_only_absent[place], settle_moment[each]);
            IF settle_action[each] = 9 THEN
                answer.kind := 'k';
                answer.number := place - spans[at + 7];
                answer.code := kept::integer;
                RETURN NEXT answer;
                outcomes := array_append(array_append(outcomes, penstock.packed(answer)), 0::bigint);
            END IF;
        END LOOP;
        FOR place IN spans[at + 3]..spans[at + 3] + spans[at + 4] - 1 LOOP
            PERFORM penstock.close_if_expired(join_id[place], settle_moment[each]);
        END LOOP;
        FOR place IN spans[at + 5]..spans[at + 5] + spans[at + 6] - 1 LOOP
            PERFORM penstock.close_if_expired(arrival_join[place], settle_moment[each]);
        END LOOP;
        FOR place IN spans[at + 3]..spans[at + 3] + spans[at + 4] - 1 LOOP
            PERFORM penstock.open_join(
                join_id[place], join_parts[place], draft_queue[join_draft[place]], drafts[join_draft[place]],
                join_ends[place]);
        END LOOP;
        FOR place IN spans[at + 5]..spans[at + 5] + spans[at + 6] - 1 LOOP
            PERFORM penstock.arrive(arrival_join[place], arrival_part[place], settle_moment[each]);
        END LOOP;
    END LOOP;
    IF held IS NOT NULL AND s.queue_number IS NOT NULL THEN
        PERFORM penstock.save(s);
    END IF;
    FOR each IN 1..cardinality(send_queues) LOOP
        at := send_spans[each * 2 - 1];
        FOR answer IN SELECT * FROM penstock.send_batch(
            send_queues[each], at - 1, send_id[at:send_spans[each * 2]], send_body[at:send_spans[each * 2]],
            send_size[at:send_spans[each * 2]], send_group[at:send_spans[each * 2]],
            send_deduplication[at:send_spans[each * 2]], send_extras[at:send_spans[each * 2]],
            send_priority[at:send_spans[each * 2]], send_delay_ms[at:send_spans[each * 2]],
            send_deliver_at[at:send_spans[each * 2]], send_live_ms[at:send_spans[each * 2]],
            send_moment[at:send_spans[each * 2]])
        LOOP
            RETURN NEXT answer;
            outcomes := array_append(array_append(outcomes, penstock.packed(answer)), coalesce(answer.message_key, 0));
        END LOOP;
    END LOOP;
    FOR its_group IN 1..cardinality(receive_groups) / 2 LOOP
        at := receive_groups[its_group * 2 - 1];
        IF receive_groups[its_group * 2] > at AND penstock.receives_together(receive_queue[at]) THEN
            RETURN QUERY SELECT * FROM penstock.receive(
                receive_queue[at], at - 1,
                receive_tokens[receive_spans[at * 2 - 1]:receive_spans[receive_groups[its_group * 2] * 2]],
                receive_timeout_ms[at], receive_moment[receive_groups[its_group * 2]], receive_owner[at], NULL, true);
        ELSE
            FOR each IN at..receive_groups[its_group * 2] LOOP
                IF receive_following[each] IS NOT NULL THEN
                    RETURN QUERY SELECT * FROM penstock.follow(
                        receive_queue[each], each - 1,
                        receive_tokens[receive_spans[each * 2 - 1]:receive_spans[each * 2]], receive_timeout_ms[each],
                        receive_moment[each], receive_owner[each], receive_following[each],
                        receive_following_token[each]);
                    CONTINUE;
                END IF;
                RETURN QUERY SELECT * FROM penstock.receive(
                    receive_queue[each], each - 1, receive_tokens[receive_spans[each * 2 - 1]:receive_spans[each * 2]],
                    receive_timeout_ms[each], receive_moment[each], receive_owner[each], receive_attempt[each], false);
            END LOOP;
        END IF;
    END LOOP;
    IF cardinality(guard_key) > 0 THEN
        PERFORM penstock.drop_held_records(guard_key);
    END IF;
    PERFORM penstock.end_batch(its_writer, its_batch, outcomes);
    RETURN QUERY SELECT * FROM penstock.woken();
END $$;
