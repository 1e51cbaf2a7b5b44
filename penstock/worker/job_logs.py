"""What jobs logged, kept in the store beside them: the latest lines of each attempt, as ``log/<job id>/<attempt>``."""

import logging
from collections import deque
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from penstock.core.effects import Record
from penstock.worker.context import running_job

LOG_PREFIX = "log/"
MOST_LINES = 200
MOST_CHARACTERS = 32_000
"""Of an attempt so much is kept; when there is more, the oldest lines go."""

MOST_LINE_CHARACTERS = 4_000
FAILED_KEPT_MS = 14 * 86_400_000
"""How long it is known what an attempt logged that did not succeed."""

_encode = msgspec.json.Encoder().encode
_traceback = logging.Formatter().formatException


class LogLine(Struct, frozen=True, array_like=True, gc=False):
    """One line; ``at`` in ms since the epoch."""

    at: int
    level: str
    logger: str
    text: str


class LogRecord(Struct, frozen=True, omit_defaults=True):
    """What is kept of one attempt; ``dropped_count`` lines came before these."""

    lines: tuple[LogLine, ...]
    dropped_count: int = 0


class JobLog:
    """What one attempt logged, bounded. Lines come from any thread.

    Attributes:
        has_news: lines came since this was last written down.
    """

    __slots__ = ("_characters", "_dropped_count", "_lines", "has_news")

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque()
        self._characters = 0
        self._dropped_count = 0
        self.has_news = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was logged."""
        return not self._lines

    def add(self, line: LogLine) -> None:
        """Keep a line. Called under the lock of the handler."""
        self._lines.append(line)
        self._characters += len(line.text)
        while len(self._lines) > MOST_LINES or self._characters > MOST_CHARACTERS:
            self._characters -= len(self._lines.popleft().text)
            self._dropped_count += 1
        self.has_news = True

    def to_record(self, job_id: str, attempt: int, expires_at: int) -> Record:
        """Return what the store keeps, and take it for written down."""
        self.has_news = False
        kept = LogRecord(tuple(self._lines.copy()), self._dropped_count)
        return Record(f"{log_prefix(job_id)}{attempt:06}", _encode(kept), {}, expires_at)


class JobLogs(logging.Handler):
    """Takes down what jobs log, those that run in processes too. Put it on the root logger.

    Args:
        logs: of the jobs that run, by id; all else that is logged is none of its business.
        level: what is below it is left out.
    """

    def __init__(self, logs: Mapping[str, JobLog], level: int) -> None:
        super().__init__(level)
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record with the job it was logged in."""
        job_id = getattr(record, "job_id", None)
        if job_id is None:
            job = running_job()
            if job is None:
                return
            job_id = job.job_id
        log = self._logs.get(job_id)
        if log is None:
            return
        try:
            text = record.getMessage()
            if record.exc_info:
                text = f"{text}\n{_traceback(record.exc_info)}"
        except Exception:
            self.handleError(record)
            return
        text = text[:MOST_LINE_CHARACTERS].encode(errors="replace").decode()  # half of a surrogate pair is no text
        log.add(LogLine(round(record.created * 1000), record.levelname, record.name, text))


def log_prefix(job_id: str) -> str:
    """Return what the keys of all that a job logged begin with."""
    return f"{LOG_PREFIX}{job_id}/"
