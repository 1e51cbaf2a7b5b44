"""How the directory changes: records under guards, all of a change or none, and a version that servers look at."""

import secrets
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.effects import Effects, Guard, Record
from penstock.core.errors import GuardFailed, InvalidRequest
from penstock.core.operations import Apply, FindRecords
from penstock.server.directory.shapes import VERSION

_PAGE = 1000


class Change(Struct, frozen=True):
    """One record as it is to be.

    Attributes:
        key: of the record.
        before: what was read of it; ``None``: there was none.
        after: what it is to hold; ``None``: nothing, it is forgotten.
        expires_at: of what it is to hold.
    """

    key: str
    before: bytes | None
    after: bytes | None
    expires_at: int | None = None


async def keep(broker: Broker, changes: Sequence[Change], forgets: Sequence[str] = ()) -> None:
    """Let changes happen, all or none.

    Args:
        broker: keeps the records.
        changes: what is to be.
        forgets: keys of further records to forget.

    Raises:
        InvalidRequest: one of the records is no longer what was read.
    """
    effects = Effects(
        guards=tuple(Guard(each.key, each.before) for each in changes),
        forgets=(*forgets, *(each.key for each in changes if each.after is None)),
        records=(
            *(Record(each.key, each.after, expires_at=each.expires_at) for each in changes if each.after is not None),
            Record(VERSION, secrets.token_hex(8).encode()),
        ),
    )
    try:
        await broker.perform(Apply(effects))
    except GuardFailed:
        raise InvalidRequest("Somebody else changed this just now.", hint="Look at it and try again.") from None


async def all_records(broker: Broker, prefix: str) -> AsyncIterator[Record]:
    """Yield the records whose keys begin so, in the order of their keys."""
    after: str | None = ""
    while after is not None:
        page = await broker.perform(FindRecords(prefix, after=after, limit=_PAGE))
        for record in page.records:
            yield record
        after = page.next_after
