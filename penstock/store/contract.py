"""What every store does. The memory store is its executable specification; the conformance suite runs on all.

A store is a deterministic function of what it holds, the call and ``now`` (ms since the epoch): equal calls get equal
replies on every store. Each call is atomic and durable when it answers. One outcome per input, in the same order; an
exception means that the whole call failed and changed nothing. Names and ids are given, never minted: drafts carry
their ``message_id``, leases their tokens.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from penstock.core.effects import Effects, Record
from penstock.core.events import Event
from penstock.core.filters import Matcher, MessageFilter
from penstock.core.messages import Delivery, Draft, MessageView
from penstock.core.moves import Move
from penstock.core.operations import ApplyReply, IdOutcome, SendOutcome
from penstock.core.queues import GroupView, QueueChanges, QueueDescription
from penstock.core.settlements import Settlement, SettleOutcome

WakeupListener = Callable[[str, int], None]
"""Told (name, instant): something may be receivable there from that instant on. A hint: may be spurious or lost.

The name is the queue's, for all who receive from it, or one that ``wakeup_name`` makes, for those who follow in a
group: what only they may receive wakes nobody else.
"""

EVERY_GROUP = ""


def wakeup_name(queue: str, group_id: str) -> str:
    """Return the name of the wake-ups of those who follow in a strict group, or in any of a queue (``EVERY_GROUP``)."""
    return f"{queue}\n{group_id}"


class Received(Struct, frozen=True):
    """What a receive found.

    Attributes:
        deliveries: messages leased now, in the order of the queue.
        look_again_at: when ``deliveries`` is empty, the next instant at which something will become receivable if
            nothing else happens; ``None`` when nothing is due.
        is_over_limit: the queue holds as many leases as it may.
        wait_ms: the long poll the queue is set to, for receives that name none.
        group_id: when ``deliveries`` is empty, the group in which a delivery is followed; wake-ups for this receive
            come under the name of that group.
    """

    deliveries: tuple[Delivery, ...]
    look_again_at: int | None = None
    is_over_limit: bool = False
    wait_ms: int = 0
    group_id: str | None = None


class Store(Protocol):
    """Keeps queues, messages, records and events. See the operations of the same names for what each does."""

    # -- queues ------------------------------------------------------------------------------------------------------

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        """Return the queue and whether this call made it. Raises QueueConflict, QueueDeletedRecently."""
        ...

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        """Raises QueueNotFound; InvalidRequest for a fixed setting."""
        ...

    async def delete_queue(self, name: str, now: int) -> None:
        """Raises QueueNotFound."""
        ...

    async def describe_queue(self, name: str, now: int) -> QueueDescription:
        """Cost does not depend on the number of messages. Raises QueueNotFound."""
        ...

    async def list_queues(
        self, prefix: str, after: str, limit: int, dead_letter_queue: str | None, now: int
    ) -> Sequence[QueueDescription]:
        """Return at most ``limit`` queues after ``after``, by name."""
        ...

    async def purge_queue(self, name: str, rest_ms: int, now: int) -> int:
        """Return how many messages were forgotten. Raises QueueNotFound, PurgeInProgress."""
        ...

    async def list_groups(self, name: str, after: str, limit: int, only_parked: bool, now: int) -> Sequence[GroupView]:
        """Return at most ``limit`` groups after ``after``, by id. Raises QueueNotFound."""
        ...

    async def update_group(self, name: str, group_id: str, is_parked: bool, now: int) -> None:
        """Park or unpark; a group without messages may be parked ahead. Raises QueueNotFound."""
        ...

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        """Keep messages. Raises QueueNotFound; everything else is an outcome of one message."""
        ...

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
        """Lease at most as many messages as there are tokens, dead-lettering the spent and skipping the expired.

        Order: by lane (priority, then what comes back), within a lane what has been receivable longest. A strict
        group gives its messages in sequence, as many as fit, and then goes behind the other groups; it gives none
        past one that is delayed or in flight. Fair groups give one at a time by the rules of ``core.fairness``. A
        receive that is cancelled leaves nothing leased. Raises QueueNotFound.

        ``following``: only messages of the group that this receipt handle's delivery is from, with greater sequence
        numbers, in sequence, up to the first that is delayed or in flight, and none while the group is parked; the
        group keeps its turn, and ``look_again_at`` is at the latest when the lease of that delivery ends. Raises,
        also where the queue is paused or full, InvalidRequest unless the group is strictly ordered,
        ReceiptHandleInvalid, and NoLongerHeld when the handle is not of the latest delivery or its lease is over.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        """End deliveries. Each settlement, with all it ends ``also``, happens whole or not at all, alone of the others.
        Raises QueueNotFound, ReceiptHandleInvalid and GuardFailed as REFUSED outcomes only."""
        ...

    async def release_leases(self, owner: str, now: int) -> int:
        """Make everything an owner holds receivable now; return how many. The deliveries count."""
        ...

    async def apply(self, effects: Effects, now: int) -> ApplyReply:
        """Raises GuardFailed, or what refuses the first effect that cannot happen."""
        ...

    async def cancel(self, message_ids: Sequence[str], queue: str | None, now: int) -> tuple[IdOutcome, ...]:
        """Forget messages nobody holds. Here and in the next two: those of other queues than ``queue`` stay and are
        GONE, ``None`` means wherever they are, and a blocked message is of the queue it will be sent to."""
        ...

    async def delete_messages(
        self, message_ids: Sequence[str], only_in_flight: bool, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        """Forget messages whatever their state; ``only_in_flight``: those that nobody holds stay and are GONE."""
        ...

    async def reschedule(
        self, message_ids: Sequence[str], deliver_at: int, queue: str | None, now: int
    ) -> tuple[IdOutcome, ...]:
        """Set ``visible_at`` of messages nobody holds; an instant in the past means now. A receipt handle of before
        is stale."""
        ...

    async def peek(
        self, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
    ) -> tuple[Sequence[MessageView], int | None]:
        """Return matching messages by sequence number and where to go on (``None``: that was all). Looks at a bounded
        number of messages in one call, ``PEEK_BUDGET`` at most, and ends when those found have ``PEEK_BYTES``. Raises
        QueueNotFound."""
        ...

    async def find(self, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
        """Return messages by id, blocked ones included."""
        ...

    async def list_blocked(self, after: str, limit: int, now: int) -> tuple[Sequence[MessageView], str | None]:
        """Return about ``limit`` of the messages that joins hold, in no order, and where to go on (``None``: that was
        all; ``after`` is empty to begin with). One that is held all the while comes once or more."""
        ...

    async def rewrite(self, messages: Sequence[MessageView], now: int) -> None:
        """Put what messages say in other words that mean the same, blocked ones too: body and attributes of those that
        are still kept, by their ids, are replaced, and nothing else of them. Nobody notices: no wake-up, no event."""
        ...

    def match_by(self, matcher: Matcher) -> None:
        """Let ``matcher`` judge what peeks and moves look for, in place of ``core.filters.matches``; it may be called
        from another thread."""
        ...

    # -- moves -------------------------------------------------------------------------------------------------------

    async def start_move(self, move: Move, now: int) -> Move:
        """Keep a RUNNING move; ``to_move_count`` is filled in. Raises QueueNotFound, MoveConflict."""
        ...

    async def cancel_move(self, move_id: str, now: int) -> Move:
        """Raises MoveNotFound."""
        ...

    async def list_moves(self, source: str, limit: int, now: int) -> Sequence[Move]:
        """Return the latest moves of a source, latest first. Raises QueueNotFound."""
        ...

    async def step_moves(self, message_ids: Sequence[str], now: int) -> int | None:
        """Take every running move one step on: at most ``len(message_ids)`` messages in all, as their rates allow.

        Only ready messages move. A moved message is a new one, sent now and never received; it gets the next of
        ``message_ids``, or keeps its own where the move ``keeps_ids``. A move is COMPLETED when its source has been
        looked through and FAILED when its target is gone; without a target, messages that were not dead-lettered stay.
        Returns when to step next, ``None`` if no move runs.
        """
        ...

    # -- records -----------------------------------------------------------------------------------------------------

    async def put_records(self, records: Sequence[Record], now: int) -> tuple[bool, ...]:
        """Return for each whether it was kept."""
        ...

    async def get_records(self, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
        """Return unexpired records by key."""
        ...

    async def delete_records(self, keys: Sequence[str], now: int) -> None:
        """Forget records; an unknown key is no error."""
        ...

    async def find_records(
        self, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool = False
    ) -> Sequence[Record]:
        """Return unexpired records by key, greater ones than ``after``; descending, smaller ones, the greatest first,
        and from the greatest of all if ``after`` is empty. ``tag`` is ``name=value``."""
        ...

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        """Return the kept events of one message, oldest first."""
        ...

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        """Return events after an id, oldest first; ``after=-1`` the latest ones."""
        ...

    def listen(self, listener: WakeupListener) -> None:
        """Call ``listener`` on the event loop after each change, by whichever process, that may make something
        receivable, or that ends a lease which somebody follows."""
        ...

    # -- upkeep ------------------------------------------------------------------------------------------------------

    async def sweep(self, limit: int, now: int) -> int:
        """Forget up to about ``limit`` of what has expired: messages past their own time to live; of each queue, in
        order of arrival, those past its retention up to the first that is not; deduplication ids, records, joins,
        ended moves, old events. Returns how many."""
        ...

    async def check(self) -> None:
        """Prove that the store can be written, and that what it keeps can be read as far as it can tell. Raises
        StoreUnavailable, StoreDamaged."""
        ...

    async def aclose(self) -> None:
        """Finish what was accepted and let go of the store."""
        ...


VERBS = tuple(
    name
    for name, verb in vars(Store).items()
    if not name.startswith("_") and asyncio.iscoroutinefunction(verb) and name != "aclose"
)
"""What a store can be asked, by name."""


RESERVED = "~penstock/"
"""What a store keeps for itself begins so: records that no caller writes, and queues that none can name."""

PEEK_BUDGET = 10_000
"""How many messages one peek looks at, at most: fewer where each takes longer, so that a peek is over soon."""

PEEK_BYTES = 4 << 20
"""A peek ends with the message with which those found have so many bytes, as limits count them."""

EVENTS_KEPT = 100_000
"""How many events a store keeps; older ones are swept."""

ENDED_MOVES_KEPT_MS = 7 * 86_400_000
"""How long ended move tasks are listed."""

SPENT_BUDGET = 100
"""How many spent or expired messages one receive clears away before it answers with what it has."""
