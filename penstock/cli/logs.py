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
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def set_up(log_format: Literal["auto", "human", "json"], level: str) -> None:
    """Write the log of this process in a format, from a level on."""
    handler = logging.StreamHandler(sys.stderr)
    if is_json(log_format):
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def is_json(log_format: Literal["auto", "human", "json"]) -> bool:
    """Return whether the log is for machines."""
    return log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
