"""The contract's verbs over PostgreSQL: messages in batches through the writer, the rest through the pool."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import asyncpg

from penstock.core.effects import Effects, Record
from penstock.core.errors import PenstockError
from penstock.core.events import Event
from penstock.core.filters import Matcher, MessageFilter, matches
from penstock.core.messages import Draft, MessageView
from penstock.core.moves import Move
from penstock.core.operations import ApplyReply, IdOutcome, SendOutcome
from penstock.core.queues import GroupView, QueueChanges, QueueDescription
from penstock.core.refusals import queue_not_found
from penstock.core.settlements import GiveBack, Settlement, SettleOutcome
from penstock.store.contract import EVERY_GROUP, Received, WakeupListener, wakeup_name
from penstock.store.examination import Examination
from penstock.store.peeking import Page
from penstock.store.postgres import examining, ids, moving, queues, records, rewriting, upkeep
from penstock.store.postgres.changes import Changes, Transaction
from penstock.store.postgres.connecting import LOST, Connections, translate
from penstock.store.postgres.options import Options, options_from
from penstock.store.postgres.queries import statements
from penstock.store.postgres.requests import ApplyRequest, ReceiveRequest, SendRequest, SettleRequest
from penstock.store.postgres.rows import SEQUENCE_MASK, description, event, held_view, view
from penstock.store.postgres.schema import bring_up_to_date
from penstock.store.postgres.wakeups import Wakeups
from penstock.store.postgres.writer import Writer

_PEEK_MOST = 2000


class PostgresStore:
    """Keeps everything in one schema of a PostgreSQL database, for any number of processes and machines.

    Made by ``await PostgresStore.open(url)``.
    """

    def __init__(self, options: Options) -> None:
        sql = statements(options.schema)
        self.options = self._options = options
        lanes = max(1, options.connections // 2)
        own_writers: set[str] = set()
        self._matches: Matcher = matches
        self._listeners: list[WakeupListener] = []
        self._loop = asyncio.get_running_loop()
        self._giving_back: set[asyncio.Task[None]] = set()
        self._connections = Connections(options, options.connections - lanes)
        self._changes = Changes(options, sql, self._connections, own_writers, self._wake)
        self._writer = Writer(options, sql, lanes, own_writers, self._wake)
        self._wakeups = Wakeups(options, f'"{options.schema}".', own_writers, self._told, self._wake)

    @classmethod
    async def open(cls, url: str) -> "PostgresStore":
        """Open a database, and make or bring up to date the schema.

        Args:
            url: ``postgresql://user:password@host:port/database?schema=...``; see ``options.Options``.

        Raises:
            StoreTooNew, StoreUnavailable: it cannot be used; it is left as it is.
        """
        options = options_from(url)
        store = cls(options)
        try:
            async with store._connections.borrowed() as connection:
                await bring_up_to_date(connection, options)
        except (PenstockError, asyncpg.PostgresError, *LOST) as error:
            await store.aclose()
            raise translate(error, options) from error
        return store

    def _wake(self, wakeups: dict[str, int]) -> None:
        for name, at in wakeups.items():
            for listener in self._listeners:
                listener(name, at)

    def _wake_all(self, queue: str, now: int) -> None:
        self._wake({queue: now, wakeup_name(queue, EVERY_GROUP): now})

    async def _told(self, names: list[str]) -> list[str]:
        followed = [name.partition("\n")[::2] for name in names if "\n" in name]

        async def ask(tx: Transaction) -> list[str]:
            told = [row[0] for row in await tx.rows("awaited_no_more", [each for each in names if "\n" not in each])]
            if followed:
                queues, groups = [queue for queue, _ in followed], [group_id.encode() for _, group_id in followed]
                told += [
                    wakeup_name(row[0], row[1].decode()) for row in await tx.rows("followed_no_more", queues, groups)
                ]
            return told

        return await self._changes.read(ask)

    # -- queues ------------------------------------------------------------------------------------------------------

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        return await self._changes.make(lambda tx: queues.create_queue(tx, name, changes, name_rest_ms, now))

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        return await self._changes.make(lambda tx: queues.update_queue(tx, name, changes, now))

    async def delete_queue(self, name: str, now: int) -> None:
        await self._changes.make(lambda tx: queues.delete_queue(tx, name, now))
        self._wake_all(name, now)

    async def describe_queue(self, name: str, now: int) -> QueueDescription:
        return await self._changes.read(lambda tx: queues.describe(tx, name, now))

    async def list_queues(
        self, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
    ) -> Sequence[QueueDescription]:
        async def ask(tx: Transaction) -> list[QueueDescription]:
            names = [row[0] for row in await tx.rows("queue_page", prefix, after, limit, dead_letter_queue)]
            return [description(row) for row in await tx.rows("describe", names, now)]

        return await self._changes.read(ask)

    async def purge_queue(self, name: str, rest_ms: int, now: int) -> int:
        count = await self._changes.make(lambda tx: queues.purge_queue(tx, name, rest_ms, now))
        self._wake_all(name, now)
        return count

    async def list_groups(self, name: str, after: str, limit: int, only_parked: bool, now: int) -> Sequence[GroupView]:
        async def ask(tx: Transaction) -> list[GroupView]:
            if await tx.value("queue_number", name) is None:
                raise queue_not_found(name)
            rows = await tx.rows("group_page", name, after.encode(), only_parked, limit, now)
            return [_group_view(*row) for row in rows]

        return await self._changes.read(ask)

    async def update_group(self, name: str, group_id: str, is_parked: bool, now: int) -> None:
        async def work(tx: Transaction) -> None:
            if not await tx.value("park", name, group_id.encode(), is_parked, now):
                raise queue_not_found(name)

        await self._changes.make(work)

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        future: asyncio.Future[tuple[SendOutcome, ...]] = self._loop.create_future()
        self._writer.submit(SendRequest(queue, drafts, now, future))
        return await future

    async def receive(
        self,
        queue: str,
        tokens: Sequence[bytes],
        visibility_timeout_ms: int | None,
        now: int,
        *,
        owner: str | None = None,
        attempt_id: str | None = None,
        following: str | None = None,
    ) -> Received:
        future: asyncio.Future[Received] = self._loop.create_future()
        self._writer.submit(
            ReceiveRequest(queue, tokens, visibility_timeout_ms, now, owner, attempt_id, following, future)
        )
        try:
            received = await asyncio.shield(future)
        except asyncio.CancelledError:
            task = self._loop.create_task(self._give_back(queue, future, now))
            self._giving_back.add(task)
            task.add_done_callback(self._giving_back.discard)
            await asyncio.shield(task)
            raise
        if not received.deliveries:
            group_id = received.group_id
            self._wakeups.await_name(queue if group_id is None else wakeup_name(queue, group_id))
        return received

    async def _give_back(self, queue: str, future: "asyncio.Future[Received]", now: int) -> None:
        """Undo deliveries that reached nobody."""
        with contextlib.suppress(PenstockError):
            received = await future
            settlements = [Settlement(queue, each.receipt_handle, GiveBack()) for each in received.deliveries]
            if settlements:
                await self.settle(settlements, now)

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        future: asyncio.Future[tuple[SettleOutcome, ...]] = self._loop.create_future()
        self._writer.submit(SettleRequest(settlements, now, future))
        return await future

    async def release_leases(self, owner: str, now: int) -> int:
        return await self._changes.make(lambda tx: ids.release_leases(tx, owner, now))

    async def apply(self, effects: Effects, now: int) -> ApplyReply:
        future: asyncio.Future[ApplyReply] = self._loop.create_future()
        self._writer.submit(ApplyRequest(effects, now, future))
        return await future

    async def cancel(self, message_ids: Sequence[str], queue: str | None, now: int) -> tuple[IdOutcome, ...]:
        return await self._changes.make(lambda tx: ids.cancel(tx, message_ids, queue, now))

    async def delete_messages(
        self, message_ids: Sequence[str], only_in_flight: bool, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._changes.make(lambda tx: ids.delete(tx, message_ids, only_in_flight, queue, now))

    async def reschedule(
        self, message_ids: Sequence[str], deliver_at: int, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        return await self._changes.make(lambda tx: ids.reschedule(tx, message_ids, deliver_at, queue, now))

    async def peek(
        self, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
    ) -> tuple[Sequence[MessageView], int | None]:
        return await self._changes.read(lambda tx: _peek(tx, self._matches, queue, wanted, after, limit, now))

    async def find(self, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
        return await self._changes.read(lambda tx: _find(tx, message_ids, now))

    async def list_blocked(self, after: str, limit: int, now: int) -> tuple[Sequence[MessageView], str | None]:
        return await self._changes.read(lambda tx: rewriting.list_blocked(tx, after, limit))

    async def rewrite(self, messages: Sequence[MessageView], now: int) -> None:
        await self._changes.make(lambda tx: rewriting.rewrite(tx, messages))

    def match_by(self, matcher: Matcher) -> None:
        self._matches = matcher

    # -- moves -------------------------------------------------------------------------------------------------------

    async def start_move(self, move: Move, now: int) -> Move:
        return await self._changes.make(lambda tx: moving.start_move(tx, move))

    async def cancel_move(self, move_id: str, now: int) -> Move:
        return await self._changes.make(lambda tx: moving.cancel_move(tx, move_id))

    async def list_moves(self, source: str, limit: int, now: int) -> Sequence[Move]:
        async def ask(tx: Transaction) -> list[Move]:
            if await tx.value("queue_number", source) is None:
                raise queue_not_found(source)
            return [moving.decode_move(row[0]) for row in await tx.rows("moves_of", source, limit)]

        return await self._changes.read(ask)

    async def step_moves(self, message_ids: Sequence[str], now: int) -> int | None:
        if not await self._changes.read(lambda tx: tx.rows("any_running_move")):
            return None
        return await self._changes.make(lambda tx: moving.step_moves(tx, list(message_ids), self._matches, now))

    # -- records -----------------------------------------------------------------------------------------------------

    async def put_records(self, records_: Sequence[Record], now: int) -> tuple[bool, ...]:
        return (await self.apply(Effects(records=tuple(records_)), now)).kept_records

    async def get_records(self, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
        return await self._changes.read(lambda tx: records.get_records(tx, keys, now))

    async def delete_records(self, keys: Sequence[str], now: int) -> None:
        await self._changes.make(lambda tx: tx.rows("delete_records", [key.encode() for key in keys]))

    async def find_records(
        self, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool = False
    ) -> Sequence[Record]:
        return await self._changes.read(
            lambda tx: records.find_records(tx, prefix, tag, after, limit, now, is_descending=is_descending)
        )

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        if not ids.is_uuid(message_id):
            return []
        return [event(row) for row in await self._changes.read(lambda tx: tx.rows("history", message_id))]

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        if after < 0:
            latest = await self._changes.read(lambda tx: tx.rows("latest_events", limit))
            return [event(row) for row in latest][::-1]
        return [event(row) for row in await self._changes.read(lambda tx: tx.rows("events_after", after, limit))]

    def listen(self, listener: WakeupListener) -> None:
        self._listeners.append(listener)

    # -- upkeep ------------------------------------------------------------------------------------------------------

    async def sweep(self, limit: int, now: int) -> int:
        return await upkeep.sweep(self._changes, limit, now)

    async def check(self) -> None:
        await self._changes.make(upkeep.check)
        await self._changes.read(upkeep.check_reading)

    async def examine(self) -> Examination:
        """Return what the server promises, as it is set, and what speaks against it."""
        return await self._changes.read(lambda tx: examining.examine(tx, self._options))

    async def aclose(self) -> None:
        self._listeners.clear()
        await self._wakeups.aclose()
        if self._giving_back:
            await asyncio.wait(self._giving_back)
        await self._writer.aclose()
        await self._connections.aclose()


async def _peek(
    tx: Transaction, matcher: Matcher, name: str, wanted: MessageFilter, after: int, limit: int, now: int
) -> tuple[list[MessageView], int | None]:
    if await tx.value("queue_number", name) is None:
        raise queue_not_found(name)
    page = Page(wanted, matcher, after, limit, _PEEK_MOST)
    while True:
        most = page.chunk()
        rows = await tx.rows("messages_after", name, min(page.after, SEQUENCE_MASK), most, SEQUENCE_MASK)
        for row in rows:
            if page.is_full:
                return page.found, page.after
            if page.may_match(row["body"]):
                page.look_at(view(row, now))
            else:
                page.pass_over(row["sequence"], len(row["body"]))
        if len(rows) < most:
            return page.found, None


async def _find(tx: Transaction, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
    wanted = [each for each in message_ids if ids.is_uuid(each)]
    found: dict[str, MessageView] = {}
    for row in await tx.rows("joins_by_message", wanted):
        found[str(row["message_id"])] = held_view(row)
    for row in await tx.rows("messages_by_id", wanted):
        found[str(row["message_id"])] = view(row, now)
    return tuple([found.get(each) or found.get(each.lower()) for each in message_ids])


def _group_view(
    group_id: bytes, message_count: int, in_flight: int, ready_at: Any, is_parked: bool, is_noisy: bool, ended: int
) -> GroupView:
    held = in_flight - ended
    return GroupView(group_id.decode(), message_count - held, held, ready_at, is_parked, is_noisy)
