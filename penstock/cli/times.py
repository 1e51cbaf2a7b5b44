"""Instants and durations as people write and read them on a terminal; instants are in local time."""

import re
from datetime import datetime

import typer

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|[smhdw]?)\s*")


def duration(text: str) -> float:
    """Return the seconds that ``90``, ``1.5h`` or ``1h30m`` say. Raises BadParameter."""
    parts = _PART.findall(text)
    if not parts or "".join(match[0] for match in _PART.finditer(text)) != text:
        raise typer.BadParameter(f"{text!r} is no duration; write 90 (seconds), 10m, 1h30m, 2d.")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def instant(text: str) -> int:
    """Return the ms since the epoch of ``2030-01-31T12:00`` (local unless it names a zone) or of ms. Raises
    BadParameter."""
    if text.isdigit() and len(text) >= 11:
        return int(text)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{text!r} is no instant; write 2030-01-31T12:00, with +01:00 or Z for a zone, or ms since the epoch."
        ) from None


def told_instant(at: int | None) -> str:
    """Return an instant as people read it; nothing for none."""
    return "" if at is None else datetime.fromtimestamp(at / 1000).strftime("%Y-%m-%d %H:%M:%S")


def told_time(at: int) -> str:
    """Return the time of day of an instant."""
    return datetime.fromtimestamp(at / 1000).strftime("%H:%M:%S")


def told_duration(ms: float) -> str:
    """Return a duration in its two greatest units: ``3 h 5 min``."""
    seconds = max(0.0, ms) / 1000
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86_400:.0f} d {seconds % 86_400 // 3600:.0f} h"
