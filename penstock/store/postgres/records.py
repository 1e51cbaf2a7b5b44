"""Records: small expiring values by key and tag. They are put as effects are."""

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.core.effects import Record
from penstock.store.postgres.changes import Transaction

decode_tags = msgspec.json.Decoder(dict[str, str]).decode


async def get_records(tx: Transaction, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
    """Return unexpired records by key."""
    rows = await tx.rows("records", [key.encode() for key in keys], now)
    found = {record.key: record for record in map(_record, rows)}
    return tuple([found.get(key) for key in keys])


async def find_records(
    tx: Transaction, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool
) -> list[Record]:
    """Return unexpired records by key."""
    first, end = prefix.encode(), _behind(prefix.encode())
    if after:
        first, end = (first, min(end, after.encode())) if is_descending else (max(first, after.encode() + b"\0"), end)
    span, suffix = (first, end, now, limit), "_descending" if is_descending else ""
    if tag is None:
        rows = await tx.rows(f"record_page{suffix}", *span)
    else:
        rows = await tx.rows(f"record_page_of_tag{suffix}", *span, tag.encode())
    return [_record(row) for row in rows]


def _behind(prefix: bytes) -> bytes:
    """Return what is greater than every key that starts so, and not than any other that is greater."""
    # no byte of UTF-8 is 0xFF
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else b"\xff"


def _record(row: Any) -> Record:
    key, value, tags, expires_at = row
    return Record(key.decode(), value, decode_tags(tags), expires_at)
