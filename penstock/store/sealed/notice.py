"""The notice in a store: which keys its content is sealed with, so that nobody takes what is sealed for what was said.

It is a record in the clear that callers do not see.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from penstock.core.effects import Effects, Guard, Record
from penstock.core.errors import GuardFailed, StoreDamaged
from penstock.store.contract import RESERVED, Store

NOTICE_KEY = f"{RESERVED}sealed"

_encode = msgspec.json.Encoder().encode


class Notice(Struct, frozen=True):
    """Ids of the keys that content may be sealed with, the one that was first used first."""

    key_ids: tuple[str, ...] = ()


async def read_notice(store: Store) -> tuple[Notice, bytes | None]:
    """Return the notice in a store, and how it is kept; ``None``: there is none. Raises StoreDamaged."""
    (record,) = await store.get_records([NOTICE_KEY], 0)
    if record is None:
        return Notice(), None
    try:
        return msgspec.json.decode(record.value, type=Notice), record.value
    except msgspec.MsgspecError as error:
        raise StoreDamaged(f"The record {NOTICE_KEY} cannot be read: {error}.", hint="Restore a backup.") from error


async def note_key(store: Store, key_id: str) -> None:
    """Say that content may be sealed with a key from now on."""
    while True:
        notice, kept = await read_notice(store)
        if key_id in notice.key_ids or await _put(store, (*notice.key_ids, key_id), kept):
            return


async def keep_only(store: Store, key_ids: Sequence[str], seen: bytes | None) -> bool:
    """Say that content is sealed with no other keys, unless somebody said more meanwhile; return whether that is said.

    Args:
        store: below the sealed one.
        key_ids: ids of the keys; of none: nothing is sealed.
        seen: the notice, as it was kept before anybody looked.
    """
    return await _put(store, tuple(key_ids), seen)


async def _put(store: Store, key_ids: tuple[str, ...], seen: bytes | None) -> bool:
    guards = (Guard(NOTICE_KEY, seen),)
    if key_ids:
        effects = Effects(guards=guards, records=(Record(NOTICE_KEY, _encode(Notice(key_ids))),))
    else:
        effects = Effects(guards=guards, forgets=(NOTICE_KEY,))
    try:
        await store.apply(effects, 0)
    except GuardFailed:
        return False
    return True
