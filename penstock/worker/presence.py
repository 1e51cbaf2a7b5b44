"""What workers say of themselves in the store, while they live."""

import contextlib

import msgspec
from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.operations import FindRecords
from penstock.worker.records import Progress

WORKER_PREFIX = "worker/"
PAGE = 1000


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
