"""What a worker is told when it starts."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from penstock.core.errors import InvalidRequest
from penstock.core.partitions import MOST_PARTITIONS, partition_name

_PARTITIONS = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?")


class QueueShare(Struct, frozen=True):
    """A queue a worker takes jobs from.

    Attributes:
        name: the queue.
        weight: how often it is asked first, relative to the others.
        partitions: only these of its partitions; empty: all of it.
    """

    name: str
    weight: int = 1
    partitions: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What is received from."""
        return tuple([partition_name(self.name, number) for number in self.partitions]) or (self.name,)


class WorkerOptions(Struct, frozen=True, kw_only=True):
    """How a worker works.

    Attributes:
        queues: where it takes jobs from. Strictly in this order, or by weight: see ``is_strict``.
        is_strict: a queue is asked only when the ones before it have nothing ready.
        slots: how many jobs it runs at once.
        drain_seconds: how long jobs that run may go on after the worker was asked to stop.
        is_burst: it ends when its queues have nothing ready.
        lookahead_seconds: it holds no more jobs beyond its slots than it starts in so long, going by how long jobs
            took lately; 0: none.
        owner: names it in the store; unique among all workers there ever were.
        is_present: whether it tells other workers that it lives, and looks after those that died.
        job_log_level: what jobs log at this level of ``logging`` or above is kept with them in the store, bounded;
            ``None``: nothing.
        app_path: ``module:name`` of the app, for tasks that run in processes of their own.
        app_url, app_key: where such a process opens the broker, if not where the app says.
    """

    queues: tuple[QueueShare, ...] = (QueueShare("default"),)
    is_strict: bool = False
    slots: int = 8
    drain_seconds: float = 30
    is_burst: bool = False
    lookahead_seconds: float = 0.1
    owner: str = ""
    is_present: bool = True
    job_log_level: int | None = None
    app_path: str = ""
    app_url: str | None = None
    app_key: str | None = None


def parse_queues(text: str) -> tuple[QueueShare, ...]:
    """Read ``high:6,default:3,low``; a queue without a weight has 1.

    Raises:
        InvalidRequest: it cannot be read.
    """
    shares: list[QueueShare] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, weight = part.partition(":")
        if not name or (weight and not (weight.isdecimal() and int(weight) > 0)):
            raise InvalidRequest(f"{part!r} is no queue.", hint="Like high:6,default:3,low.", field="queues")
        shares.append(QueueShare(name, int(weight or 1)))
    names = [share.name for share in shares]
    if not names or len(set(names)) != len(names):
        raise InvalidRequest("Name every queue once, and at least one.", hint="Like high:6,low.", field="queues")
    return tuple(shares)


def parse_partitions(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read texts like ``orders=0,1,4-7``: for each queue, which of its partitions.

    Raises:
        InvalidRequest: one cannot be read.
    """
    found: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, listed = text.partition("=")
        ranges = [_PARTITIONS.fullmatch(each.strip()) for each in listed.split(",")]
        numbers = [
            number for each in ranges if each is not None for number in range(int(each[1]), int(each[2] or each[1]) + 1)
        ]
        if not name or name in found or None in ranges or not numbers or max(numbers) >= MOST_PARTITIONS:
            raise InvalidRequest(f"{text!r} names no partitions.", hint="Like orders=0,1,4-7.", field="partitions")
        found[name] = tuple(dict.fromkeys(numbers))
    return found


def pinned(shares: Sequence[QueueShare], partitions: Mapping[str, tuple[int, ...]]) -> tuple[QueueShare, ...]:
    """Return the queues of a worker that takes of some only certain partitions.

    Raises:
        InvalidRequest: it takes jobs from no such queue at all.
    """
    for name in partitions.keys() - {share.name for share in shares}:
        raise InvalidRequest(
            f"This worker takes no jobs from {name!r}.", hint="Name it among its queues too.", field="partitions"
        )
    return tuple([structs.replace(share, partitions=partitions.get(share.name, ())) for share in shares])


class Turns:
    """Which queue is asked first: each as often as its weight says, evenly spread (smooth weighted round-robin)."""

    def __init__(self, shares: Sequence[QueueShare], *, is_strict: bool) -> None:
        self._shares = shares
        self._is_strict = is_strict
        self._credit = [0] * len(shares)
        self._total = sum(share.weight for share in shares)

    def order(self) -> list[str]:
        """Return the names of the queues in the order to ask them now."""
        if self._is_strict or len(self._shares) == 1:
            return [share.name for share in self._shares]
        for index, share in enumerate(self._shares):
            self._credit[index] += share.weight
        ranked = sorted(range(len(self._shares)), key=lambda index: -self._credit[index])
        self._credit[ranked[0]] -= self._total
        return [self._shares[index].name for index in ranked]
