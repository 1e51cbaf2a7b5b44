"""Calls that go to a shard together, and how to go on when they are not answered."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from penstock.store.redis.connection import pack
from penstock.store.redis.keys import prefix
from penstock.store.redis.refusals import Remedy, remedy_for
from penstock.store.redis.scripts import FUNCTIONS, Form

WAIT_REPLICAS_MS = 5_000
"""How long replicas have to confirm a change."""

_MOST_LOADS = 2
_READING = frozenset(
    {"describe_queue", "list_queues", "list_groups", "look", "find", "get_records", "find_records", "history", "events"}
    | {"list_moves", "running_moves", "list_blocked", "read_map", "house_queue", "house_groups", "house_hash"}
)
_MAKING_ROOM = frozenset(
    {"receive", "settle", "settle_alike", "release", "cancel", "delete", "delete_queue", "purge_queue", "sweep"}
)


class Call(NamedTuple):
    """One verb asked for.

    Attributes:
        verb: of the scripts.
        arguments: as the verb's header has them, after the instant it is asked at.
        epoch: of the map it is asked by; '' of every one.
        outcome: the future of its outcome, where one is waited for.
        since: when it was asked for, by the loop's clock.
    """

    verb: str
    arguments: Sequence[bytes | str | int]
    epoch: int | str
    outcome: Any = None
    since: float = 0.0


class Batch:
    """Calls that go out together.

    Args:
        calls: which.
        numbers: of its client's batches; one that changes something takes the next.
    """

    __slots__ = ("_form", "_loads", "calls", "number", "sent_at", "told")

    def __init__(self, calls: list[Call], numbers: Iterator[int]) -> None:
        self.calls = calls
        self.number: int | str = next(numbers) if any(call.verb not in _READING for call in calls) else ""
        self.sent_at = 0.0
        self.told: Any = None
        self._form = FUNCTIONS
        self._loads = 0

    def packed(self, form: Form, tag: str, client: str) -> bytes:
        """Return the command."""
        self._form = form
        makes_room = all(call.verb in _MAKING_ROOM for call in self.calls)
        command: list[bytes | str | int] = [*(form.call_making_room if makes_room else form.call), 1, prefix(tag)]
        command += (client, self.number, int(makes_room), self.calls[0].epoch, len(self.calls))
        for call in self.calls:
            command.append(call.verb)
            command += call.arguments
        return pack(command)

    def remedy(self, error: Exception) -> Remedy:
        """Return how to go on after this was answered: code that cannot be loaded as functions is run as scripts."""
        remedy = remedy_for(error)
        if remedy is Remedy.LOAD and self._loads < _MOST_LOADS:
            self._loads += 1
        elif remedy in (Remedy.LOAD, Remedy.SCRIPTS):
            if self._form is not FUNCTIONS:
                return Remedy.NONE
            self._loads = 0
            return Remedy.SCRIPTS
        return remedy


def waiting_for(replicas: int) -> bytes:
    """Return the command that is answered by how many replicas have what was changed before."""
    return pack(("WAIT", replicas, WAIT_REPLICAS_MS))
