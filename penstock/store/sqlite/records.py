"""Records: small expiring values by key and tag."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.core.effects import Record
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.transaction import Execute, Transaction

_RECORD = SQL["record"]
_PUT = SQL["put_record"]
_TAGS = SQL["record_tags"]
_DELETE = SQL["delete_record"]
_INSERT_TAG = SQL["insert_record_tag"]
_DELETE_TAG = SQL["delete_record_tag"]

_encode_tags = msgspec.json.Encoder().encode
_decode_tags = msgspec.json.Decoder(dict[str, str]).decode
AFTER_ALL_TEXT = "\U0010ffff"


def put_record(tx: Transaction, record: Record, now: int) -> bool:
    """Keep a record; return whether it was kept."""
    if record.only_if_absent and tx.execute(_RECORD, (record.key, now)).fetchone() is not None:
        return False
    _forget_tags(tx, record.key)
    tx.execute(_PUT, (record.key, record.value, _encode_tags(dict(record.tags)), record.expires_at))
    for tag in _tag_texts(record.tags):
        tx.execute(_INSERT_TAG, (tag, record.key))
    return True


def delete_records(tx: Transaction, keys: Sequence[str]) -> None:
    """Forget records; an unknown key is no error."""
    for key in keys:
        _forget_tags(tx, key)
        tx.execute(_DELETE, (key,))


def get_record(execute: Execute, key: str, now: int) -> Record | None:
    """Return an unexpired record."""
    row = execute(_RECORD, (key, now)).fetchone()
    return None if row is None else record_of(row)


def find_records(
    execute: Execute, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool
) -> list[Record]:
    """Return unexpired records by key."""
    end = prefix + AFTER_ALL_TEXT
    name = "record_page" if tag is None else "record_page_of_tag"
    asked = [] if tag is None else [tag]
    if is_descending:
        name += "_descending"
        asked += [prefix, min(after or end, end)]
    else:
        asked += [prefix, end, after]
    return [record_of(row) for row in execute(SQL[name], (*asked, now, limit)).fetchall()]


def record_of(row: tuple[Any, ...]) -> Record:
    """Return a row of ``records`` as a value."""
    key, value, tags, expires_at = row
    return Record(key, value, _decode_tags(tags), expires_at)


def _forget_tags(tx: Transaction, key: str) -> None:
    row = tx.execute(_TAGS, (key,)).fetchone()
    if row is not None:
        for tag in _tag_texts(_decode_tags(row[0])):
            tx.execute(_DELETE_TAG, (tag, key))


def _tag_texts(tags: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in tags.items()]
