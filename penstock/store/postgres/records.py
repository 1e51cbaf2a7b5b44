"""Records: small expiring values by key and tag. They are put as effects are."""

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.core.effects import Record
from penstock.store.postgres.changes import Transaction

_decode_tags = msgspec.json.Decoder(dict[str, str]).decode


async def get_records(tx: Transaction, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
    """Return unexpired records by key."""
    rows = await tx.rows("records", [key.encode() for key in keys], now)
    found = {record.key: record for record in map(_record, rows)}
    return tuple([found.get(key) for key in keys])


async def find_records(tx: Transaction, prefix: str, tag: str | None, after: str, limit: int, now: int) -> list[Record]:
    """Return unexpired records by key."""
    span = (prefix.encode(), after.encode(), now, limit)
    if tag is None:
        rows = await tx.rows("record_page", *span)
    else:
        rows = await tx.rows("record_page_of_tag", *span, tag.encode())
    return [_record(row) for row in rows]


def _record(row: Any) -> Record:
    key, value, tags, expires_at = row
    return Record(key.decode(), value, _decode_tags(tags), expires_at)
