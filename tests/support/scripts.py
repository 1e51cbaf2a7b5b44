"""Random life for a store: from a number and what has happened so far, the next thing to do.

A script is a list of numbers. Each makes one step by itself, so that hypothesis may leave any out when it looks for the
shortest script that fails.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Arrival, Effects, FollowUp, Guard, Join, Record
from penstock.core.filters import MessageFilter
from penstock.core.messages import Attribute, Draft, State
from penstock.core.operations import (
    Apply,
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DeleteRecords,
    DescribeQueue,
    Find,
    FindRecords,
    GetRecords,
    ListGroups,
    ListMoves,
    ListQueues,
    MoveReply,
    Operation,
    Peek,
    PurgeQueue,
    PutRecords,
    Receive,
    ReceiveReply,
    ReleaseLeases,
    Reschedule,
    Send,
    SendReply,
    Sent,
    Settle,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.settlements import ChangeVisibility, DeadLetter, Delete, GiveBack, Settlement
from tests.support.entropy import own_id

QUEUES = {
    "standard": QueueChanges(redrive=RedrivePolicy("dead", 2), history="errors", visibility_timeout_seconds=5),
    "limited": QueueChanges(max_in_flight=2, delay_seconds=0.5, retention_seconds=100, history="all"),
    "fair": QueueChanges(group_max_in_flight=2, redelivery="last", redrive=RedrivePolicy("dead", 3)),
    "tenants": QueueChanges(visibility_timeout_seconds=40, redelivery="last"),
    "strict": QueueChanges(group_order="strict", max_in_flight=4, redrive=RedrivePolicy("dead", 2), history="all"),
    "a.fifo": QueueChanges(is_fifo=True, content_based_deduplication=True, redrive=RedrivePolicy("b.fifo", 1)),
    "b.fifo": QueueChanges(is_fifo=True, deduplicate_per_group=True, deduplication_window_seconds=10),
    "dead": QueueChanges(redrive=RedrivePolicy("deader", 1)),
    "deader": QueueChanges(retention_seconds=200, redrive=RedrivePolicy("standard", 4)),
}
NAMES = tuple(QUEUES)
GROUPS = ("a", "b", "c", "ä")
OWNERS = ("me", "you")


@dataclass(frozen=True)
class Advance:
    """Time goes by."""

    seconds: float


@dataclass(frozen=True)
class Sweep:
    """The expired is forgotten."""


@dataclass(frozen=True)
class StepMoves:
    """Running moves go on."""

    limit: int


Step = Operation[Any] | Advance | Sweep | StepMoves


@dataclass
class Past:
    """What has happened so far, to choose from: deliveries (``streams``: to follow), messages and moves.

    Most of a script happens to its favourite queues, so that it gets somewhere with them.
    """

    now: int
    favourites: tuple[str, ...] = NAMES
    handles: list[tuple[str, str]] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)
    move_ids: list[str] = field(default_factory=list)
    streams: list[tuple[str, str, str]] = field(default_factory=list)

    def remember(self, step: Step, reply: Any) -> None:
        if isinstance(step, Receive) and isinstance(reply, ReceiveReply):
            self.handles += [(step.queue, each.receipt_handle) for each in reply.deliveries]
            del self.handles[:-60]
            if QUEUES[step.queue].is_fifo or QUEUES[step.queue].group_order == "strict":
                self.streams += [
                    (step.queue, each.receipt_handle, each.group_id) for each in reply.deliveries if each.group_id
                ]
                del self.streams[:-6]
        elif isinstance(reply, SendReply):
            self.message_ids += [each.message_id for each in reply.outcomes if isinstance(each, Sent)]
            del self.message_ids[:-60]
        elif isinstance(reply, MoveReply):
            self.move_ids.append(reply.move.move_id)

    def queue(self, rng: Random) -> str:
        """Choose a queue."""
        return rng.choice(self.favourites if rng.random() < 0.75 else NAMES)


def next_step(number: int, past: Past) -> Step:
    """Return what a number makes of the present."""
    rng = Random(number)
    (make,) = rng.choices(list(_STEPS), list(_STEPS.values()))
    return make(rng, past)


# -- what may happen -------------------------------------------------------------------------------------------------


def _send(rng: Random, past: Past) -> Step:
    many = rng.random() < 0.05
    count = rng.randint(30, 45) if many else rng.randint(1, 4)
    same_group = rng.choice(GROUPS)
    drafts = [_draft(rng, past) for _ in range(count)]
    if many:
        drafts = [Draft(f"many{number}", group_id=same_group) for number in range(count)]
    elif past.streams and rng.random() < 0.3:
        queue, _, group_id = rng.choice(past.streams)
        return Send(queue, tuple(structs.replace(draft, group_id=group_id) for draft in drafts))
    return Send("tenants" if many else past.queue(rng), tuple(drafts))


def _receive(rng: Random, past: Past) -> Step:
    if past.handles and rng.random() < (0.5 if past.streams else 0.02):
        return _follow(rng, past)
    return Receive(
        past.queue(rng),
        max_messages=rng.choice((1, 1, 2, 3, 10, 35)),
        wait_seconds=0,
        visibility_timeout_seconds=rng.choice((None, 0, 1, 1, 5, 100)),
        attempt_id=rng.choice((None, None, None, "x", "y")),
        owner=rng.choice((None, *OWNERS)),
    )


def _follow(rng: Random, past: Past) -> Step:
    queue, handle = _delivery(rng, past)
    if past.streams and rng.random() < 0.95:
        queue, handle, _ = rng.choice(past.streams)
    return Receive(
        queue if rng.random() < 0.97 else past.queue(rng),
        max_messages=rng.choice((1, 2, 10)),
        wait_seconds=0,
        visibility_timeout_seconds=rng.choice((None, 0, 1, 5, 100)),
        owner=rng.choice((None, *OWNERS)),
        following=handle,
    )


def _delivery(rng: Random, past: Past) -> tuple[str, str]:
    """Choose queue and handle of a delivery: mostly one of the latest, which are still held."""
    return past.handles[-1 - min(int(rng.expovariate(0.3)), len(past.handles) - 1)]


def _settle(rng: Random, past: Past) -> Step:
    if not past.handles:
        return _receive(rng, past)
    if rng.random() < 0.3:
        return _delete_together(rng, past)
    settlements = []
    for _ in range(rng.randint(1, 4)):
        queue, handle = _delivery(rng, past)
        others = {each for of, each in past.handles[-8:] if (of == queue or rng.random() < 0.02) and each != handle}
        also = rng.sample(sorted(others), rng.randint(1, len(others))) if others and rng.random() < 0.2 else []
        settlements.append(
            Settlement(
                queue if rng.random() < 0.97 else past.queue(rng),
                handle,
                rng.choice(
                    (Delete(),) * 3
                    + (
                        ChangeVisibility(0),
                        ChangeVisibility(3),
                        ChangeVisibility(3, 4),
                        GiveBack(),
                        GiveBack(rng.choice((0, 0, 1, 5)), rng.random() < 0.6),
                        DeadLetter("bad"),
                    )
                    + (ChangeVisibility(rng.choice((0, 1, 5, 30)), rng.choice((1, 5, 31))),)
                ),
                is_fenced=rng.random() < 0.3,
                any_delivery=rng.random() < 0.1,
                parks_group=rng.random() < 0.05,
                effects=_effects(rng, past) if rng.random() < 0.2 else NO_EFFECTS,
                also=tuple(also),
            )
        )
    return Settle(tuple(settlements))


def _delete_together(rng: Random, past: Past) -> Step:
    """Delete several deliveries of a queue that are alike, which stores do with a few commands for all."""
    queue, handle = _delivery(rng, past)
    latest = [each for of, each in past.handles[-40:] if of == queue]
    handles = rng.sample(latest, rng.randint(1, min(12, len(latest)))) if latest else [handle]
    is_fenced = rng.random() < 0.5
    keeps = rng.random() < 0.5
    settlements = [
        Settlement(
            queue,
            each,
            is_fenced=is_fenced,
            effects=Effects(records=(_a_record(rng, past),)) if keeps else NO_EFFECTS,
        )
        for each in handles
    ]
    if rng.random() < 0.1:
        settlements.append(rng.choice(settlements))  # once more
    if rng.random() < 0.1:
        settlements.insert(rng.randrange(len(settlements)), Settlement(*_delivery(rng, past), is_fenced=is_fenced))
    return Settle(tuple(settlements))


def _advance(rng: Random, past: Past) -> Step:
    return Advance(rng.choice((0.001, 0.001, 0.5, 1, 1, 1, 3, 5, 5, 30, 61, 300)))


def _by_id(rng: Random, past: Past) -> Step:
    ids = tuple(_message_id(rng, past) for _ in range(rng.randint(1, 3)))
    kind = rng.choice((Cancel, DeleteMessages, Reschedule, Find, Find))
    queue = past.queue(rng) if rng.random() < 0.4 else None
    if kind is Reschedule:
        return Reschedule(ids, past.now + rng.choice((-1000, 0, 1, 1000, 5000)), queue)
    if kind is DeleteMessages:
        return DeleteMessages(ids, rng.random() < 0.5, queue)
    return Cancel(ids, queue) if kind is Cancel else Find(ids)


def _queue(rng: Random, past: Past) -> Step:
    name = past.queue(rng)
    kind = rng.random()
    if kind < 0.05:
        return DeleteQueue(name)
    if kind < 0.1:
        return PurgeQueue(name, rng.choice((0, 60)))
    if kind < 0.3:
        return CreateQueue(name, QUEUES[name], rng.choice((0, 0, 60)))
    if kind < 0.4:
        return UpdateGroup(name, rng.choice(GROUPS), True)
    if kind < 0.55:
        return UpdateGroup(name, rng.choice(GROUPS), False)
    return UpdateQueue(name, _changes(rng))


def _look(rng: Random, past: Past) -> Step:
    name = past.queue(rng)
    return rng.choice(
        (
            DescribeQueue(name),
            ListQueues(rng.choice(("", "d", "s")), limit=rng.randint(1, 9)),
            ListQueues(dead_letter_queue=past.queue(rng)),
            ListGroups(name, rng.choice(("", "b")), rng.randint(1, 4), rng.random() < 0.3),
            Peek(name, _filter(rng, past), rng.choice((0, 0, 3)), rng.choice((1, 3, 100))),
            ListMoves(name, rng.choice((1, 10))),
        )
    )


def _record(rng: Random, past: Past) -> Step:
    keys = tuple(f"k{rng.randint(1, 4)}" for _ in range(rng.randint(1, 3)))
    return rng.choice(
        (
            PutRecords(tuple(_a_record(rng, past) for _ in keys)),
            PutRecords(tuple(_a_record(rng, past) for _ in keys)),
            GetRecords(keys),
            DeleteRecords(keys[:1]),
            FindRecords(
                rng.choice(("", "k", "k2")),
                rng.choice((None, "t=1", "t=2")),
                rng.choice(("", "k1", "k3")),
                rng.randint(1, 4),
                rng.random() < 0.5,
            ),
        )
    )


def _move(rng: Random, past: Past) -> Step:
    if past.move_ids and rng.random() < 0.2:
        return CancelMove(rng.choice(past.move_ids[-3:]))
    wanted = _filter(rng, past) if rng.random() < 0.4 else None
    target = rng.choice((None, None, past.queue(rng), past.queue(rng)))
    return StartMove(past.queue(rng), target, rng.choice((None, 1, 3)), wanted, rng.random() < 0.5)


def _apply(rng: Random, past: Past) -> Step:
    return Apply(_effects(rng, past))


_STEPS: dict[Callable[[Random, Past], Step], int] = {
    _send: 22,
    _receive: 22,
    _settle: 18,
    _advance: 12,
    _by_id: 5,
    _queue: 8,
    _look: 5,
    _record: 2,
    _apply: 4,
    _move: 2,
    lambda rng, past: StepMoves(rng.choice((1, 2, 10))): 3,
    lambda rng, past: Sweep(): 2,
    lambda rng, past: ReleaseLeases(rng.choice(OWNERS)): 1,
}


# -- what it is made of ----------------------------------------------------------------------------------------------


def _draft(rng: Random, past: Past) -> Draft:
    return Draft(
        rng.choice(("a", "b", '{"n": 1}', "ä" * rng.randint(1, 3))),
        attributes={"n": Attribute("Number", str(rng.randint(1, 2)))} if rng.random() < 0.1 else {},
        delay_seconds=rng.choice((None, None, None, None, 0, 1, 5)),
        deliver_at=past.now + rng.choice((-1000, 0, 2000)) if rng.random() < 0.05 else None,
        priority=rng.choice((0, 0, 0, 0, 1, 5, 9)),
        group_id=rng.choice((None, *GROUPS[:2], *GROUPS)),
        deduplication_id=rng.choice((None, None, None, "x", "y", "z")),
        time_to_live_seconds=rng.choice((None, None, None, None, None, 2, 40)),
        message_id=own_id(rng.randint(1, 6)) if rng.random() < 0.1 else None,
    )


def _effects(rng: Random, past: Past) -> Effects:
    def some(make: Callable[[], Any], chance: float) -> tuple[Any, ...]:
        return tuple(make() for _ in range(rng.randint(1, 2))) if rng.random() < chance else ()

    def follow_up() -> FollowUp:
        return FollowUp(past.queue(rng) if rng.random() < 0.95 else "missing", _draft(rng, past))

    def join() -> Join:
        expires_at = rng.choice((None, past.now + 5000))
        opened = follow_up()
        if rng.random() < 0.5:
            opened = structs.replace(
                opened, message=structs.replace(opened.message, message_id=own_id(rng.randint(1, 2)))
            )
        return Join(f"j{rng.randint(1, 3)}", rng.randint(1, 2), opened, expires_at)

    def guard() -> Guard:
        return Guard(f"k{rng.randint(1, 4)}", rng.choice((None, None, b"a", b"b")))

    return Effects(
        guards=some(guard, 0.3),
        forgets=some(lambda: f"k{rng.randint(1, 4)}", 0.2),
        sends=some(follow_up, 0.5),
        records=some(lambda: _a_record(rng, past), 0.3),
        joins=some(join, 0.3),
        arrivals=some(lambda: Arrival(f"j{rng.randint(1, 3)}", f"p{rng.randint(1, 3)}"), 0.4),
    )


def _a_record(rng: Random, past: Past) -> Record:
    return Record(
        f"k{rng.randint(1, rng.choice((4, 40)))}",
        rng.choice((b"a", b"b")),
        {"t": str(rng.randint(1, 2))} if rng.random() < 0.6 else {},
        rng.choice((None, past.now + 3000)),
        rng.random() < 0.3,
    )


def _filter(rng: Random, past: Past) -> MessageFilter:
    return rng.choice(
        (
            MessageFilter(),
            MessageFilter(state=rng.choice(tuple(State))),
            MessageFilter(text="a"),
            MessageFilter(json_path="n", json_value="1"),
            MessageFilter(attribute="n", attribute_value="1"),
            MessageFilter(group_id=rng.choice(GROUPS), min_receive_count=1),
            MessageFilter(sent_before=past.now - 5000),
            MessageFilter(message_ids=tuple(past.message_ids[-5:])),
        )
    )


def _changes(rng: Random) -> QueueChanges:
    return rng.choice(
        (
            QueueChanges(is_paused=True),
            QueueChanges(is_paused=False),
            QueueChanges(is_paused=False),
            QueueChanges(group_max_in_flight=rng.choice((None, 1, 2, 5))),
            QueueChanges(group_max_in_flight=rng.choice((None, 1))),
            QueueChanges(max_in_flight=rng.choice((None, 1, 5))),
            QueueChanges(max_in_flight=rng.choice((1, 2))),
            QueueChanges(redrive=rng.choice((None, RedrivePolicy("dead", 1), RedrivePolicy("missing", 1)))),
            QueueChanges(retention_seconds=rng.choice((10, 100, 345_600))),
            QueueChanges(visibility_timeout_seconds=rng.choice((0, 1, 30)), delay_seconds=rng.choice((0, 1))),
            QueueChanges(history=rng.choice(("off", "errors", "all")), tags={"a": rng.choice((None, "1"))}),
            QueueChanges(group_order="strict", max_message_bytes=rng.choice((3, 1000))),
        )
    )


def _message_id(rng: Random, past: Past) -> str:
    if past.message_ids and rng.random() < 0.8:
        return rng.choice(past.message_ids)
    return own_id(rng.randint(1, 6))
