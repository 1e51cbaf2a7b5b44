"""A schema of PostgreSQL as a house that everything is carried out of or into, by statements on its tables.

What is taken in is written without keeping counts and order in step; ``settle_in`` works them out.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from msgspec import structs

from penstock.core.belongings import (
    Belonging,
    Gone,
    KeptAttempt,
    KeptDuplicate,
    KeptEvent,
    KeptGroup,
    KeptJoin,
    KeptMessage,
    KeptMove,
    KeptQueue,
    KeptRecord,
    Kind,
    RestingName,
)
from penstock.core.lifecycle import lane_of
from penstock.core.messages import Draft
from penstock.core.moves import MoveStatus
from penstock.store.contract import Store
from penstock.store.house import Place
from penstock.store.postgres.belongings import read_page
from penstock.store.postgres.connecting import LOST, Connection, connect, translate
from penstock.store.postgres.options import Options
from penstock.store.postgres.packing import encode_tags
from penstock.store.postgres.queries import in_schema, statements
from penstock.store.postgres.queues import columns_of
from penstock.store.postgres.rows import draft_row, encode_settings
from penstock.store.postgres.store import PostgresStore

_SHIFT = 40
Taker = Callable[["Taking", Any], Awaitable[None]]


_TABLES: tuple[str, ...] = (
    "queues",
    "queue_states",
    "deleted_queues",
    "orphans",
    "messages",
    "groups",
    "duplicates",
    "attempts",
)
_TABLES += ("joins", "join_parts", "records", "record_tags", "moves", "events", "outgoing")


class PostgresHouse:
    """A house in a schema.

    Args:
        store: the same schema, opened.
    """

    def __init__(self, store: Store) -> None:
        assert isinstance(store, PostgresStore)
        self.store: Store = store
        self._options: Options = store.options
        self._connection: Connection | None = None

    async def gather(self, now: int) -> None:
        return None

    async def page(self, kind: Kind, after: Place | None, limit: int) -> tuple[Sequence[Belonging], Place | None]:
        async with self._connected() as connection:
            return await read_page(connection, self._options.schema, kind, after, limit)

    async def take_in(self, things: Sequence[Belonging | Gone]) -> None:
        async with self._connected() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = on")
            taking = Taking(connection, self._options.schema)
            # what is alike and lies together is written together
            first = 0
            for at in range(1, len(things) + 1):
                if at == len(things) or type(things[at]) is not type(things[first]):
                    await _TAKERS[type(things[first])](taking, things[first:at])
                    first = at

    async def settle_in(self, now: int) -> None:
        async with self._connected() as connection, connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            for statement in _SETTLING:
                count = 1 if "$1" in statement else 0
                await connection.execute(in_schema(statement, self._options.schema), *(now,) * count)
        async with self._connected() as connection:
            await connection.execute(in_schema("ANALYZE penstock.messages", self._options.schema))

    async def clear(self) -> None:
        async with self._connected() as connection, connection.transaction():
            for table in _TABLES:
                await connection.execute(in_schema(f"DELETE FROM penstock.{table}", self._options.schema))

    def leaving(self) -> None:
        return None

    async def aclose(self) -> None:
        await self.disconnect()
        await self.store.aclose()

    async def disconnect(self) -> None:
        """Close the connection that things are carried through; the store stays open."""
        if self._connection is not None:
            await self._connection.close()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._options)
            yield self._connection
        except (asyncpg.PostgresError, *LOST) as error:
            raise translate(error, self._options) from error


class Taking:
    """One transaction in which things are taken in."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self._sql = statements(schema)
        self._queues: dict[str, tuple[int, bool]] = {}

    async def _do(self, sql: str, *parameters: Any) -> Any:
        return await self._connection.fetch(in_schema(sql, self._schema), *parameters)

    async def _many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        await self._connection.executemany(in_schema(sql, self._schema), rows)

    async def _queue(self, name: str) -> tuple[int, bool]:
        """Return a queue's number, and whether its groups are strict."""
        found = self._queues.get(name)
        if found is None:
            rows = await self._do("SELECT queue_number, is_strict FROM penstock.queues WHERE name = $1", name)
            found = self._queues[name] = tuple(rows[0])
        return found

    async def queues(self, queues: Sequence[KeptQueue]) -> None:
        for queue in queues:
            columns = columns_of(queue.settings)
            settings = encode_settings(queue.settings)
            await self._do("DELETE FROM penstock.deleted_queues WHERE name = $1", queue.name)
            rows = await self._do("SELECT queue_number FROM penstock.queues WHERE name = $1", queue.name)
            instants = (queue.created_at, queue.modified_at, queue.purged_at)
            if rows:
                number = rows[0][0]
                await self._connection.fetch(self._sql["update_queue"], queue.name, settings, instants[1], *columns)
                await self._do(
                    "UPDATE penstock.queues SET created_at = $2, purged_at = $3 WHERE queue_number = $1",
                    *(number, instants[0], instants[2]),
                )
            else:
                number = await self._connection.fetchval(
                    self._sql["insert_queue"], queue.name, settings, *instants, *columns
                )
                await self._connection.fetch(self._sql["insert_queue_state"], number, 0, 0, 0, 0, 0, 0)
            await self._do(
                """UPDATE penstock.queue_states SET last_sequence = $2, last_turn = $3, sent_total = $4,
                       received_total = $5, deleted_total = $6, busy_period = $7, busy_current_ms = $8,
                       busy_previous_ms = $9
                   WHERE queue_number = $1""",
                *(number, queue.last_sequence, queue.last_turn, queue.sent_total, queue.received_total),
                *(queue.deleted_total, *structs.astuple(queue.busy)),
            )

    async def messages(self, messages: Sequence[KeptMessage]) -> None:
        latest = {message.message_id: message for message in messages}
        rows = []
        keys: dict[tuple[str, str], int] = {}
        for each in latest.values():
            if each.group_id is not None and (each.queue, each.group_id) not in keys:
                keys[each.queue, each.group_id] = await self._group_key(each.queue, each.group_id)
        for message in latest.values():
            number, is_strict = await self._queue(message.queue)
            is_ordered = is_strict and message.group_id is not None
            draft = Draft(
                message.body,
                message.attributes,
                message.system_attributes,
                message.sender_id,
                group_id=message.group_id,
                deduplication_id=message.deduplication_id,
                message_id=message.message_id,
            )
            message_id, body, _, group_id, deduplication_id, extras, *_ = draft_row(draft)
            phase = 2 if message.token is not None else int(message.was_delayed)
            rows.append(
                (
                    number << _SHIFT | message.sequence_number,
                    *(message_id, number),
                    -number if message.group_id is None else keys[message.queue, message.group_id],
                    0 if is_ordered else lane_of(message.priority, comes_back=message.comes_back),
                    message.sequence_number if is_ordered else message.visible_at,
                    *(message.visible_at, phase, message.priority, message.sent_at, message.expires_at),
                    *(message.receive_count, message.carried_count, message.first_received_at, message.received_at),
                    *(message.token, None if message.owner is None else message.owner.encode()),
                    *(message.dead_letter_source, group_id, deduplication_id, body, extras),
                )
            )
        await self._do(
            """DELETE FROM penstock.messages WHERE message_id = ANY ($1::uuid[]) OR message_key = ANY ($2::bigint[])""",
            [row[1] for row in rows],
            [row[0] for row in rows],
        )
        await self._connection.copy_records_to_table("messages", records=rows, schema_name=self._schema)

    async def _group_key(self, queue: str, group_id: str) -> int:
        number, _ = await self._queue(queue)
        rows = await self._do(
            """WITH made AS (INSERT INTO penstock.groups (queue_number, group_id) VALUES ($1, $2)
                             ON CONFLICT DO NOTHING RETURNING group_key)
               SELECT group_key FROM made
               UNION ALL SELECT group_key FROM penstock.groups WHERE queue_number = $1 AND group_id = $2""",
            *(number, group_id.encode()),
        )
        return int(rows[0][0])

    async def groups(self, groups: Sequence[KeptGroup]) -> None:
        rows = []
        for group in groups:
            number, is_strict = await self._queue(group.queue)
            head = None if group.head is None else number << _SHIFT | group.head
            turn = group.turn if is_strict or head is None else head
            rows.append(
                (
                    await self._group_key(group.queue, group.group_id),
                    *(group.lane, group.ready_at, turn, head, group.head_visible_at, group.is_parked, group.is_noisy),
                    *(group.last_sent_at, *structs.astuple(group.busy)),
                )
            )
        await self._many(
            """UPDATE penstock.groups SET lane = $2, ready_at = $3, turn = $4, head_key = $5, head_visible_at = $6,
                   is_parked = $7, is_noisy = $8, last_sent_at = $9, busy_period = $10, busy_current_ms = $11,
                   busy_previous_ms = $12
               WHERE group_key = $1""",
            rows,
        )

    async def duplicates(self, duplicates: Sequence[KeptDuplicate]) -> None:
        rows = []
        for known in duplicates:
            number, _ = await self._queue(known.queue)
            key = f"{known.scope}\0{known.deduplication_id}".encode()
            rows.append((number, key, known.message_id, known.sequence_number, known.kept_until))
        await self._many(
            """INSERT INTO penstock.duplicates (queue_number, key, message_id, sequence, kept_until)
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (queue_number, key) DO UPDATE SET
                   message_id = excluded.message_id, sequence = excluded.sequence, kept_until = excluded.kept_until""",
            rows,
        )

    async def attempts(self, attempts: Sequence[KeptAttempt]) -> None:
        for attempt in attempts:
            number, _ = await self._queue(attempt.queue)
            await self._do(
                """INSERT INTO penstock.attempts (queue_number, attempt_id, message_keys, tokens, kept_until)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (queue_number, attempt_id) DO UPDATE SET
                       message_keys = excluded.message_keys, tokens = excluded.tokens,
                       kept_until = excluded.kept_until""",
                *(number, attempt.attempt_id.encode()),
                [number << _SHIFT | sequence for sequence, _ in attempt.leases],
                [token for _, token in attempt.leases],
                attempt.kept_until,
            )

    async def joins(self, joins: Sequence[KeptJoin]) -> None:
        for kept in joins:
            join = kept.join
            join_id = join.join_id.encode()
            await self._forget_join(join_id)
            await self._do(
                """INSERT INTO penstock.joins (join_id, parts, arrived, message_id, queue, draft, expires_at)
                   VALUES ($1, $2, $3, $4, $5, 
                           ROW($4, $7, $8, $9, $10, $11, $12, $13, $14, $15)::penstock.draft, $6)""",
                *(join_id, join.parts, len(kept.arrived), join.follow_up.message.message_id, join.follow_up.queue),
                *(join.expires_at, *draft_row(join.follow_up.message)[1:]),
            )
            await self._many(
                "INSERT INTO penstock.join_parts VALUES ($1, $2)", [(join_id, part.encode()) for part in kept.arrived]
            )

    async def _forget_join(self, join_id: bytes) -> None:
        await self._do("DELETE FROM penstock.joins WHERE join_id = $1", join_id)
        await self._do("DELETE FROM penstock.join_parts WHERE join_id = $1", join_id)

    async def records(self, records: Sequence[KeptRecord]) -> None:
        latest = {kept.record.key.encode(): kept.record for kept in records}
        await self._do("SELECT penstock.delete_records($1::bytea[])", list(latest))
        await self._many(
            "INSERT INTO penstock.records (key, value, tags, expires_at) VALUES ($1, $2, $3, $4)",
            [(key, each.value, encode_tags(dict(each.tags)), each.expires_at) for key, each in latest.items()],
        )
        await self._many(
            "INSERT INTO penstock.record_tags (tag, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(f"{name}={value}".encode(), key) for key, each in latest.items() for name, value in each.tags.items()],
        )

    async def moves(self, moves: Sequence[KeptMove]) -> None:
        for kept in moves:
            move = kept.move
            is_running = move.status is MoveStatus.RUNNING
            packed = encode_settings(move)
            values = (move.move_id, move.source, move.started_at, is_running, packed)
            await self._connection.fetch(self._sql["put_move"], *values)

    async def events(self, events: Sequence[KeptEvent]) -> None:
        rows = []
        for kept in events:
            event = kept.event
            detail = None if event.detail is None else event.detail.encode()
            rows.append((event.event_id, event.at, event.queue, event.message_id, event.kind.value, detail))
        await self._many(
            """INSERT INTO penstock.events (event_id, at, queue, message_id, kind, detail)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (event_id) DO NOTHING""",
            rows,
        )

    async def resting(self, names: Sequence[RestingName]) -> None:
        for each in names:
            if not await self._do("SELECT 1 FROM penstock.queues WHERE name = $1", each.name):
                await self._connection.fetch(self._sql["rest_name"], each.name, each.deleted_at)

    async def gone(self, gone: Sequence[Gone]) -> None:
        for each in gone:
            if each.kind == "record":
                await self._do("SELECT penstock.delete_records($1::bytea[])", [each.key.encode()])
            elif each.kind == "join":
                await self._forget_join(each.key.encode())
            elif await self._do("SELECT 1 FROM penstock.queues WHERE name = $1", each.queue):
                await self._gone_of(each, (await self._queue(each.queue))[0])

    async def _gone_of(self, gone: Gone, number: int) -> None:
        if gone.kind == "queue":
            del self._queues[gone.queue]
            await self._connection.fetch(self._sql["take_away"], gone.queue)
        elif gone.kind == "group":
            await self._do(
                "DELETE FROM penstock.groups WHERE queue_number = $1 AND group_id = $2", number, gone.key.encode()
            )
        else:
            key = number << _SHIFT | gone.sequence_number
            await self._do("DELETE FROM penstock.messages WHERE message_key = $1", key)


_TAKERS: dict[type, Taker] = {
    KeptQueue: Taking.queues,
    KeptMessage: Taking.messages,
    KeptGroup: Taking.groups,
    KeptDuplicate: Taking.duplicates,
    KeptAttempt: Taking.attempts,
    KeptJoin: Taking.joins,
    KeptRecord: Taking.records,
    KeptMove: Taking.moves,
    KeptEvent: Taking.events,
    RestingName: Taking.resting,
    Gone: Taking.gone,
}

_SETTLING = (
    """DELETE FROM penstock.groups AS g WHERE NOT is_parked
       AND NOT EXISTS (SELECT FROM penstock.messages AS m WHERE m.group_key = g.group_key)""",
    """UPDATE penstock.groups AS g SET message_count = coalesce(c.message_count, 0),
           in_flight = coalesce(c.in_flight, 0), floor = 0, is_followed = true
       FROM penstock.groups AS every LEFT JOIN (
           SELECT group_key, count(*) AS message_count,
                  count(*) FILTER (WHERE phase = 2 AND visible_at > $1) AS in_flight
           FROM penstock.messages WHERE group_key > 0 GROUP BY group_key
       ) AS c USING (group_key)
       WHERE every.group_key = g.group_key""",
    """UPDATE penstock.queue_states AS s SET message_count = coalesce(c.message_count, 0),
           in_flight = coalesce(c.in_flight, 0), delayed = coalesce(c.delayed, 0), counted_at = $1,
           lanes = coalesce(c.lanes, 0), is_awaited = true, is_followed = true, woken_at = NULL,
           first_sequence = coalesce(c.first_sequence, s.last_sequence + 1),
           floors = array_fill(0::bigint, ARRAY[21]), head_floors = array_fill(0::bigint, ARRAY[21]),
           group_count = (SELECT count(*) FROM penstock.groups AS g WHERE g.queue_number = s.queue_number)
       FROM penstock.queue_states AS every LEFT JOIN (
           SELECT queue_number, count(*) AS message_count,
                  min(message_key) & ((1::bigint << 40) - 1) AS first_sequence,
                  count(*) FILTER (WHERE phase = 2 AND visible_at > $1) AS in_flight,
                  count(*) FILTER (WHERE phase = 1 AND visible_at > $1) AS delayed,
                  bit_or((1 << rank) | (1 << (2 * (9 - priority) + 1))) AS lanes
           FROM penstock.messages GROUP BY queue_number
       ) AS c USING (queue_number)
       WHERE every.queue_number = s.queue_number""",
    """SELECT setval(pg_get_serial_sequence('penstock.events', 'event_id'),
                     greatest(1, (SELECT max(event_id) FROM penstock.events)),
                     EXISTS (SELECT FROM penstock.events))""",
)
