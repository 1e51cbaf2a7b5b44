"""What a worker process is told: by the options of ``penstock work``, and by its supervisor."""

from typing import Literal

from msgspec import Struct

LogFormat = Literal["auto", "human", "json"]

DRAINED = 3
"""Exit status by which a worker tells its supervisor that it was sent away and shall not be replaced."""


class WorkSettings(Struct, frozen=True, kw_only=True):
    """What the options say. ``parent_pid``: of the supervisor, if there is one; ``index``: which of its workers."""

    app: str
    slots: int
    processes: int = 1
    queues: str | None = None
    partitions: tuple[str, ...] = ()
    is_strict: bool = False
    is_burst: bool = False
    reloads: bool = False
    drain_seconds: float = 30
    url: str | None = None
    key: str | None = None
    log_format: LogFormat = "auto"
    log_level: str = "info"
    job_log_level: str | None = None
    health_port: int | None = None
    parent_pid: int = 0
    index: int = 0
