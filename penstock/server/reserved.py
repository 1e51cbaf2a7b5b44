"""Records that no caller reads or writes, whatever else they may do: of keys, users, logins and the audit log.

Who could write them could make a key of their own; the ways to change them are in ``desk.py``.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import structs

from penstock.core.effects import NO_EFFECTS, Effects
from penstock.core.errors import AccessDenied
from penstock.core.operations import (
    Apply,
    DeleteRecords,
    FindRecords,
    GetRecords,
    Operation,
    PutRecords,
    Settle,
)
from penstock.server.directory.shapes import PREFIX

TOUCHES_RECORDS = frozenset({Apply, DeleteRecords, FindRecords, GetRecords, PutRecords, Settle})
"""Only these have to be looked at."""


def check_records(operation: Operation[Any]) -> None:
    """Refuse an operation that names a reserved record.

    Raises:
        AccessDenied: it does.
    """
    for key in _keys_of(operation):
        if key.startswith(PREFIX):
            raise AccessDenied(
                f"Records that begin with {PREFIX} are the server's own.",
                hint="Use `penstock key`, `penstock user` and `penstock audit`.",
                field="key",
            )


def without_reserved(operation: Operation[Any], reply: Any) -> Any:
    """Return a reply as callers get it."""
    if type(operation) is not FindRecords:
        return reply
    shown = tuple(each for each in reply.records if not each.key.startswith(PREFIX))
    return reply if len(shown) == len(reply.records) else structs.replace(reply, records=shown)


def _keys_of(operation: Operation[Any]) -> Iterator[str]:
    if isinstance(operation, PutRecords):
        yield from (each.key for each in operation.records)
    elif isinstance(operation, GetRecords | DeleteRecords):
        yield from operation.keys
    elif isinstance(operation, Apply):
        yield from _keys_in(operation.effects)
    elif isinstance(operation, Settle):
        for each in operation.settlements:
            if each.effects is not NO_EFFECTS:
                yield from _keys_in(each.effects)


def _keys_in(effects: Effects) -> Iterator[str]:
    yield from (each.key for each in effects.guards)
    yield from effects.forgets
    yield from (each.key for each in effects.records)
