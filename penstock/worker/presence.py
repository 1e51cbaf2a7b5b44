"""What workers say of themselves in the store, while they live."""

import contextlib

import msgspec
from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.effects import Record
from penstock.core.errors import PenstockError
from penstock.core.operations import FindRecords, GetRecords, PutRecords
from penstock.worker.records import Progress

WORKER_PREFIX = "worker/"
DRAIN_PREFIX = "drain/"
DRAIN_KEPT_MS = 86_400_000
PAGE = 1000


class WorkerNotFound(PenstockError):
    """No worker of that name says that it lives."""

    code = "worker_not_found"
    fault = "caller"


class RunningJob(Struct, frozen=True, omit_defaults=True):
    """A job that a worker runs; ``started_at`` in ms since the epoch."""

    job_id: str
    task: str
    started_at: int
    progress: Progress | None = None


class WorkerRecord(Struct, frozen=True, omit_defaults=True):
    """What a worker says of itself, under ``worker/<owner>``.

    Attributes:
        owner: its name in the store.
        machine: what it shares with the processes it can see.
        pid, pid_start: which process it is there.
        started_at: in ms since the epoch.
        queues: where it takes jobs from.
        slots: how many it runs at once.
        beat: changes each time this is written.
        is_draining: it takes no more jobs.
        held_count: how many jobs it has in hand.
        jobs: those that run, up to 100.
    """

    owner: str
    machine: str
    pid: int
    started_at: int
    queues: tuple[str, ...]
    slots: int
    beat: int
    pid_start: int | None = None
    is_draining: bool = False
    held_count: int = 0
    jobs: tuple[RunningJob, ...] = ()


_decoder = msgspec.json.Decoder(WorkerRecord)
_encoder = msgspec.json.Encoder()


def worker_key(owner: str) -> str:
    """Return the key of a worker's record."""
    return WORKER_PREFIX + owner


def drain_key(owner: str) -> str:
    """Return the key of the mark that a worker heeds at its next beat: while it is there, the worker drains."""
    return DRAIN_PREFIX + owner


async def ask_to_drain(broker: Broker, owner: str, now: int) -> None:
    """Have a worker take no more jobs, end what it runs, and go; it hears of it within seconds.

    Raises:
        WorkerNotFound: no worker of that name says that it lives.
    """
    if (await broker.perform(GetRecords((worker_key(owner),)))).records[0] is None:
        raise WorkerNotFound(f"There is no worker {owner}.", hint="penstock worker list names those that live.")
    await broker.perform(PutRecords((Record(drain_key(owner), b"", expires_at=now + DRAIN_KEPT_MS),)))


def encode_worker(record: WorkerRecord) -> bytes:
    """Return what the store keeps of a worker."""
    return _encoder.encode(record)


async def present_workers(broker: Broker) -> list[WorkerRecord]:
    """Return what all workers say of themselves."""
    found: list[WorkerRecord] = []
    after = ""
    while True:
        page = await broker.perform(FindRecords(WORKER_PREFIX, after=after, limit=PAGE))
        for record in page.records:
            with contextlib.suppress(msgspec.MsgspecError):  # of another version
                found.append(_decoder.decode(record.value))
        if page.next_after is None:
            return found
        after = page.next_after
