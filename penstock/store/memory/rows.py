"""What a queue in memory holds: message rows, message groups, and the sorted lists that say what comes next.

Every change of a row goes: take it out of its place, change it, place it again. Groups are reseated after that.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from penstock.core.belongings import KeptGroup
from penstock.core.fairness import BusyTime, is_noisy
from penstock.core.lifecycle import LANES, lane_of, state_of
from penstock.core.messages import Delivery, Draft, MessageView
from penstock.core.queues import GroupView, QueueCounts, QueueDescription, QueueSettings
from penstock.core.receipts import Receipt, encode_receipt

NOISY_LANE = LANES
_NOISY_CANDIDATES = 32
_FOR_EVER = 1 << 62


@dataclass(eq=False)
class Row:
    """One kept message."""

    sequence_number: int
    message_id: str
    draft: Draft
    sent_at: int
    visible_at: int
    expires_at: int | None = None
    token: bytes | None = None
    owner: str | None = None
    receive_count: int = 0
    carried_count: int = 0
    first_received_at: int | None = None
    received_at: int | None = None
    dead_letter_source: str | None = None
    comes_back: bool = False

    @property
    def lane(self) -> int:
        """The lane it is served in."""
        return lane_of(self.draft.priority, comes_back=self.comes_back)


@dataclass(eq=False)
class Group:
    """One message group: its rows in order of arrival, and its place among the heads (``seat``)."""

    group_id: str
    rows: dict[int, Row] = field(default_factory=dict)
    is_parked: bool = False
    is_noisy: bool = False
    last_sent_at: int = 0
    busy: BusyTime = field(default_factory=BusyTime)
    head: tuple[int, int] | None = None
    seat: tuple[int, int, int, str] | None = None

    def in_flight(self, now: int) -> int:
        """Return how many of its messages are leased."""
        return sum(row.token is not None and row.visible_at > now for row in self.rows.values())


class Queue:
    """A queue in memory."""

    def __init__(self, name: str, settings: QueueSettings, now: int) -> None:
        self.name = name
        self.settings = settings
        self.created_at = self.modified_at = now
        self.purged_at: int | None = None
        self.last_sequence_number = 0
        self.last_turn = 0
        self.sent_total = self.received_total = self.deleted_total = 0
        self.forget_messages()

    def forget_messages(self) -> None:
        """Start empty."""
        self.busy = BusyTime()
        self.rows: dict[int, Row] = {}
        self.groups: dict[str, Group] = {}
        self.duplicates: dict[tuple[str, str], tuple[str, int, int]] = {}
        self.attempts: dict[str, tuple[list[tuple[int, bytes]], int]] = {}
        self._ungrouped: list[tuple[int, int, int]] = []
        self._heads: list[tuple[int, int, int, str]] = []
        self._leased: list[tuple[int, int]] = []
        self._delayed: list[tuple[int, int]] = []

    @property
    def is_strict(self) -> bool:
        """Whether groups are ordered."""
        return self.settings.group_order == "strict"

    # -- places ------------------------------------------------------------------------------------------------------

    def place(self, row: Row, now: int) -> None:
        """Put a new or changed row where the next receive finds it."""
        self.rows[row.sequence_number] = row
        insort(self._timed(row), (row.visible_at, row.sequence_number))
        if row.draft.group_id is None:
            insort(self._ungrouped, (row.lane, row.visible_at, row.sequence_number))
        else:
            group = self.groups.setdefault(row.draft.group_id, Group(row.draft.group_id))
            group.rows[row.sequence_number] = row
            self.reseat(group, now)

    def take_out(self, row: Row, now: int, *, for_good: bool = False) -> None:
        """Take a row out of its place, to change it or ``for_good``."""
        _remove(self._timed(row), (row.visible_at, row.sequence_number))
        if row.draft.group_id is None:
            _remove(self._ungrouped, (row.lane, row.visible_at, row.sequence_number))
        if for_good:
            del self.rows[row.sequence_number]
            if row.draft.group_id is not None:
                group = self.groups[row.draft.group_id]
                del group.rows[row.sequence_number]
                self.reseat(group, now)

    def reseat(self, group: Group, now: int) -> None:
        """Give a group its place among the heads, by the message it would hand out next."""
        if group.seat is not None:
            _remove(self._heads, group.seat)
        previous, group.seat = group.seat, None
        if not group.rows:
            group.head = None
            if not group.is_parked:
                del self.groups[group.group_id]
            return
        if group.is_parked:
            group.head = None
            return
        row = self.head_of(group, now)
        head = (row.sequence_number, row.visible_at)
        lane = NOISY_LANE if group.is_noisy else lane_of(row.draft.priority) if self.is_strict else row.lane
        if not self.is_strict:
            ready_at = max(row.visible_at, self._freed_at(group, now))
            group.seat = (lane, ready_at, row.sequence_number, group.group_id)
        elif previous is not None and head == group.head:
            group.seat = (lane, *previous[1:])
        else:
            self.last_turn += 1
            group.seat = (lane, max(row.visible_at, now), self.last_turn, group.group_id)
        group.head = head
        insort(self._heads, group.seat)

    def head_of(self, group: Group, now: int) -> Row:
        """Return the message a group hands out next."""
        if self.is_strict:
            return next(iter(group.rows.values()))
        # the best lane that has something ready, else what becomes ready first
        return min(
            group.rows.values(),
            key=lambda row: (
                (0, row.lane, row.visible_at, row.sequence_number)
                if row.visible_at <= now
                else (1, row.visible_at, row.lane, row.sequence_number)
            ),
        )

    def following(self, group: Group, sequence_number: int, now: int) -> Row | None:
        """Return the message a receive may take from a strict group after one it has dealt with, or ``None``."""
        if not self.is_strict:
            return None
        later = (other for other in group.rows.values() if other.sequence_number > sequence_number)
        successor = next(later, None)
        return successor if successor is not None and successor.visible_at <= now else None

    def _freed_at(self, group: Group, now: int) -> int:
        """Return when a group that holds all the leases it may gets one back; the past if it may have more."""
        limit = self.settings.group_max_in_flight
        if limit is None:
            return 0
        ends = sorted(row.visible_at for row in group.rows.values() if row.token is not None and row.visible_at > now)
        return ends[len(ends) - limit] if len(ends) >= limit else 0

    def _timed(self, row: Row) -> list[tuple[int, int]]:
        return self._delayed if row.token is None else self._leased

    def settle_in(self, kept: Iterable[KeptGroup], now: int) -> None:
        """Place rows that were taken in, with their groups where these were; what came meanwhile stays where it is."""
        self.rows = dict(sorted(self.rows.items()))
        for group in self.groups.values():
            group.rows, group.seat, group.head = {}, None, None
        self._ungrouped, self._heads, self._leased, self._delayed = [], [], [], []
        seats = {each.group_id: each for each in kept}
        for each in seats.values():
            group = self.groups.setdefault(each.group_id, Group(each.group_id))
            group.is_parked, group.is_noisy = each.is_parked, each.is_noisy
            group.last_sent_at, group.busy = max(group.last_sent_at, each.last_sent_at), each.busy
        for row in self.rows.values():
            insort(self._timed(row), (row.visible_at, row.sequence_number))
            if row.draft.group_id is None:
                insort(self._ungrouped, (row.lane, row.visible_at, row.sequence_number))
            else:
                group = self.groups.setdefault(row.draft.group_id, Group(row.draft.group_id))
                group.rows[row.sequence_number] = row
        for group in list(self.groups.values()):
            seat = seats.get(group.group_id)
            if seat is None or seat.ready_at is None or seat.head is None or not group.rows:
                self.reseat(group, now)
            else:
                group.head = (seat.head, seat.head_visible_at or 0)
                group.seat = (seat.lane, seat.ready_at, seat.turn, group.group_id)
                insort(self._heads, group.seat)

    # -- questions ---------------------------------------------------------------------------------------------------

    def in_flight(self, now: int) -> int:
        """Return how many messages are leased."""
        return _later_than(self._leased, now)

    def counts(self, now: int) -> QueueCounts:
        """Return how many messages are in each state."""
        in_flight, delayed = _later_than(self._leased, now), _later_than(self._delayed, now)
        return QueueCounts(len(self.rows) - in_flight - delayed, delayed, in_flight)

    def next_ready_at(self, now: int) -> int | None:
        """Return the first instant after ``now`` at which something becomes receivable, or ``None``."""
        instants = [entry[1] for lists in (self._ungrouped, self._heads) for entry in lists if entry[1] > now]
        return min(instants, default=None)

    def below_limit_at(self, now: int) -> int | None:
        """Return when so many leases have ended that the queue, which holds all it may, may hold another."""
        limit = self.settings.max_in_flight
        return None if limit is None else self._leased[-limit][0]

    def next_candidate(self, now: int) -> Row | Group | None:
        """Return what is to be received next: an ungrouped message or the group whose turn it is."""
        while True:
            best_row = _first_ready(self._ungrouped, now, LANES)
            best_head = _first_ready(self._heads, now, LANES)
            if best_row is not None and (best_head is None or best_row[:2] <= best_head[:2]):
                return self.rows[best_row[2]]
            if best_head is not None:
                group = self.groups[best_head[3]]
                if self.is_strict or not self._judge(group, now):
                    return group
            else:
                return self._least_noisy(now)

    def _least_noisy(self, now: int) -> Group | None:
        """Return the noisy group with the fewest leases; one that has turned quiet goes before."""
        noisy = []
        for seat in self._heads[bisect_left(self._heads, (NOISY_LANE,)) :][:_NOISY_CANDIDATES]:
            if seat[1] > now:
                break
            group = self.groups[seat[3]]
            if not self._judge(group, now):
                return group
            noisy.append((group.in_flight(now), seat, group))
        return min(noisy)[2] if noisy else None

    def _judge(self, group: Group, now: int) -> bool:
        """Return whether a tenant is noisy now; when that changed it is reseated."""
        in_flight = group.in_flight(now)
        verdict = is_noisy(
            was_noisy=group.is_noisy,
            waiting=len(group.rows) - in_flight,
            last_sent_at=group.last_sent_at,
            in_flight=in_flight,
            queue_in_flight=self.in_flight(now),
            busy=group.busy,
            queue_busy=self.busy,
            now=now,
        )
        if verdict is not group.is_noisy:
            group.is_noisy = verdict
            self.reseat(group, now)
        return verdict

    # -- views -------------------------------------------------------------------------------------------------------

    def rows_after(self, sequence_number: int) -> Iterator[Row]:
        """Yield rows in order of arrival."""
        return (row for row in self.rows.values() if row.sequence_number > sequence_number)

    def view(self, row: Row, now: int) -> MessageView:
        """Show a row."""
        draft = row.draft
        return MessageView(
            message_id=row.message_id,
            queue=self.name,
            state=state_of(row.visible_at, row.token is not None, now),
            body=draft.body,
            sent_at=row.sent_at,
            visible_at=row.visible_at,
            sequence_number=row.sequence_number,
            receive_count=row.receive_count,
            first_received_at=row.first_received_at,
            attributes=draft.attributes,
            system_attributes=draft.system_attributes,
            sender_id=draft.sender_id,
            priority=draft.priority,
            group_id=draft.group_id,
            deduplication_id=draft.deduplication_id,
            expires_at=row.expires_at,
            dead_letter_source=row.dead_letter_source,
        )

    def delivery(self, row: Row) -> Delivery:
        """Show a row that has just been leased."""
        draft = row.draft
        assert row.token is not None
        assert row.first_received_at is not None
        return Delivery(
            message_id=row.message_id,
            receipt_handle=encode_receipt(self.name, Receipt(row.sequence_number, row.token)),
            body=draft.body,
            sent_at=row.sent_at,
            first_received_at=row.first_received_at,
            visible_at=row.visible_at,
            sequence_number=row.sequence_number,
            receive_count=row.receive_count,
            attributes=draft.attributes,
            system_attributes=draft.system_attributes,
            sender_id=draft.sender_id,
            priority=draft.priority,
            group_id=draft.group_id,
            deduplication_id=draft.deduplication_id,
            dead_letter_source=row.dead_letter_source,
        )

    def group_view(self, group: Group, now: int) -> GroupView:
        """Show a group."""
        in_flight = group.in_flight(now)
        return GroupView(
            group_id=group.group_id,
            waiting=len(group.rows) - in_flight,
            in_flight=in_flight,
            ready_at=None if group.seat is None else group.seat[1],
            is_parked=group.is_parked,
            is_noisy=group.is_noisy,
        )

    def describe(self, now: int) -> QueueDescription:
        """Show the queue."""
        oldest = next(iter(self.rows.values()), None)
        return QueueDescription(
            name=self.name,
            settings=self.settings,
            created_at=self.created_at,
            modified_at=self.modified_at,
            counts=self.counts(now),
            oldest_sent_at=None if oldest is None else oldest.sent_at,
            purged_at=self.purged_at,
            sent_total=self.sent_total,
            received_total=self.received_total,
            deleted_total=self.deleted_total,
        )


def _remove(entries: list, entry: tuple) -> None:  # type: ignore[type-arg]
    del entries[bisect_left(entries, entry)]


def _later_than(entries: list[tuple[int, int]], now: int) -> int:
    return len(entries) - bisect_right(entries, (now, _FOR_EVER))


def _first_ready(entries: list, now: int, lanes: int):  # type: ignore[type-arg, no-untyped-def]
    """Return the first entry (lane, ready_at, ...) of the lowest lane that has one ready, or ``None``."""
    for lane in range(lanes):
        at = bisect_left(entries, (lane,))
        if at == len(entries):
            return None
        if entries[at][0] == lane and entries[at][1] <= now:
            return entries[at]
    return None
