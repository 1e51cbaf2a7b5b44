"""Who is compared: where its jobs wait, and how its workers are started."""

from msgspec import Struct, structs


class Contender(Struct, frozen=True, kw_only=True):
    """A worker framework.

    Attributes:
        name: for people.
        module: ``bench.jobs.with_<module>``.
        needs: ``redis``, ``postgres``, ``file`` or ``server``: what the URL of its jobs leads to.
        two: starts workers in two processes, in its own venv.
        one: starts one worker.
        sender: sends, given what and how many; by default ``python -m bench.jobs.sender <module>``.
        result_seconds: how long Penstock keeps how a job ended; the peers keep nothing of one that succeeded.
    """

    name: str
    module: str
    needs: str
    two: tuple[str, ...]
    one: tuple[str, ...]
    sender: tuple[str, ...] = ()
    result_seconds: int = 0

    @property
    def is_ours(self) -> bool:
        """Whether it is Penstock, which runs in this venv."""
        return self.module == "penstock"


_WORK = ("penstock", "work", "bench.jobs.with_penstock:app", "--log-level", "error")
_CELERY = ("celery", "-A", "bench.jobs.with_celery", "worker", "-l", "error")
_DRAMATIQ = ("dramatiq", "bench.jobs.with_dramatiq", "--threads", "8")
_TASKIQ = ("taskiq", "worker", "bench.jobs.with_taskiq:broker", "--log-level", "ERROR")
_SAQ = ("saq", "bench.jobs.with_saq.settings", "--quiet")
_BULLMQ = ("node", "bench/jobs/with_bullmq.mjs")
_PROCRASTINATE = "procrastinate --app bench.jobs.with_procrastinate.app worker --concurrency 10 --delete-jobs always"
_HUEY = ("huey_consumer", "bench.jobs.with_huey.huey", "-k", "process", "-q")

PENSTOCK = Contender(
    name="Penstock, SQLite", module="penstock", needs="file", two=(*_WORK, "--processes", "2"), one=_WORK
)
WITH_RESULTS = structs.replace(PENSTOCK, name="Penstock, SQLite, results kept", result_seconds=86_400)
OVER_HTTP = Contender(
    name="Penstock, HTTP", module="penstock", needs="server", two=(*_WORK, "--processes", "2"), one=_WORK
)
ON_REDIS = Contender(
    name="Penstock, Redis", module="penstock", needs="redis", two=(*_WORK, "--processes", "2"), one=_WORK
)
ON_REDIS_WITH_RESULTS = structs.replace(ON_REDIS, name="Penstock, Redis, results kept", result_seconds=86_400)
ON_REDIS_AS_BULLMQ = structs.replace(
    ON_REDIS, name="Penstock, Redis, 50 slots", two=(*_WORK, "--processes", "2", "--slots", "50")
)
ON_POSTGRES = Contender(
    name="Penstock, PostgreSQL", module="penstock", needs="postgres", two=(*_WORK, "--processes", "2"), one=_WORK
)
BULLMQ = Contender(
    name="BullMQ",
    module="bullmq",
    needs="redis",
    two=(*_BULLMQ, "work", "2"),
    one=(*_BULLMQ, "work", "1"),
    sender=_BULLMQ,
)
PROCRASTINATE = Contender(
    name="Procrastinate",
    module="procrastinate",
    needs="postgres",
    two=("/bin/sh", "-c", f"{_PROCRASTINATE} & {_PROCRASTINATE} & wait"),
    one=("/bin/sh", "-c", f"exec {_PROCRASTINATE}"),
)
HUEY_ON_REDIS = Contender(
    name="Huey, Redis", module="huey", needs="redis", two=(*_HUEY, "-w", "2"), one=(*_HUEY, "-w", "1")
)
PEERS = (
    Contender(name="Celery", module="celery", needs="redis", two=(*_CELERY, "-c", "2"), one=(*_CELERY, "-c", "1")),
    Contender(
        name="Dramatiq",
        module="dramatiq",
        needs="redis",
        two=(*_DRAMATIQ, "--processes", "2"),
        one=(*_DRAMATIQ, "--processes", "1"),
    ),
    Contender(name="Taskiq", module="taskiq", needs="redis", two=(*_TASKIQ, "-w", "2"), one=(*_TASKIQ, "-w", "1")),
    Contender(name="SAQ", module="saq", needs="redis", two=(*_SAQ, "--workers", "2"), one=_SAQ),
    Contender(name="Huey", module="huey", needs="file", two=(*_HUEY, "-w", "2"), one=(*_HUEY, "-w", "1")),
    Contender(
        name="RQ",
        module="rq",
        needs="redis",
        two=("rq", "worker-pool", "-n", "2", "--quiet"),
        one=("rq", "worker", "--quiet"),
    ),
)
