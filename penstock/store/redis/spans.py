"""Bounds of names in a sorted set where all have the same score (``ZRANGEBYLEX``)."""


def span(prefix: str, after: str) -> tuple[bytes, bytes]:
    """Return bounds of names that start with ``prefix`` and come after ``after``; no text holds the byte 255."""
    low, last = prefix.encode(), after.encode()
    return b"(" + last if last >= low else b"[" + low, b"[" + low + b"\xff"


def span_down(prefix: str, after: str) -> tuple[bytes, bytes]:
    """Return bounds of names that start with ``prefix`` and come before ``after``, if that is not empty."""
    low, last = prefix.encode(), after.encode()
    return b"[" + low, b"(" + last if last and last < low + b"\xff" else b"[" + low + b"\xff"
