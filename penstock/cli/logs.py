"""How the log is written: for people on a terminal, a JSON object a line otherwise. Always to standard error."""

import json
import logging
import sys
import time
from typing import Literal


class JsonFormatter(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record in one line."""
        said: dict[str, object] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if getattr(record, "job_id", None) is not None:
            said |= {name: getattr(record, name, None) for name in ("job_id", "task", "attempt")}
        if (request_id := getattr(record, "request_id", None)) is not None:
            said["request_id"] = request_id
        said |= getattr(record, "fields", {})
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


class HumanFormatter(logging.Formatter):
    """A line for people; with the job in which it was logged, where a filter has added that."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line, without a traceback."""
        line = super().formatMessage(record)
        job_id = getattr(record, "job_id", None)
        if job_id is None:
            return line
        return f"{line} [{getattr(record, 'task', '')} {job_id} #{getattr(record, 'attempt', '')}]"


def set_up(log_format: Literal["auto", "human", "json"], level: str, fields: logging.Filter | None = None) -> None:
    """Write the log of this process in a format, from a level on.

    Args:
        log_format: for whom.
        level: the least that is written.
        fields: adds ``job_id``, ``task`` and ``attempt`` to records.
    """
    handler = logging.StreamHandler(sys.stderr)
    if fields is not None:
        handler.addFilter(fields)
    if is_json(log_format):
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(HumanFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def is_json(log_format: Literal["auto", "human", "json"]) -> bool:
    """Return whether the log is for machines."""
    return log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
