"""Making, rotating and revoking keys. All of it is records of the store, changed under guards, so that any number of
servers and commands may do so at once."""

import re
import secrets
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct, structs

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest, PenstockError
from penstock.core.operations import GetRecords
from penstock.core.rights import read_grant
from penstock.server.directory.keeping import Change, all_records, keep
from penstock.server.directory.masters import Masters
from penstock.server.directory.shapes import (
    KEYS,
    VERSION,
    Grace,
    KeptKey,
    KeyView,
    KeyWish,
    NewKey,
    key_view,
)

REMEMBERED_MS = 90 * 86_400_000
"""So long after its end a key is listed."""

LONGEST_SECONDS = 10 * 366 * 86_400
_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_NAME = re.compile(r"[\w.@+=,-]{1,64}", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)

_read_key = msgspec.json.Decoder(KeptKey).decode
_encode = msgspec.json.Encoder().encode


class KeyNotFound(PenstockError):
    """No key has that id."""

    code = "key_not_found"
    fault = "caller"


class Kept(Struct, frozen=True):
    """What the directory holds.

    Attributes:
        version: differs from that of any other moment; ``None``: nothing was ever kept.
        keys: those that can be read.
    """

    version: bytes | None
    keys: tuple[KeptKey, ...] = ()


async def has_kept_keys(broker: Broker) -> bool:
    """Return whether a store has, or ever had, keys: servers on it then ask for one."""
    (record,) = (await broker.perform(GetRecords((VERSION,)))).records
    return record is not None


class Directory:
    """The keys of a store.

    Args:
        broker: keeps the records.
        masters: what secrets are derived from.
        account: of keys that name none.
        now_ms: the time.
    """

    def __init__(self, broker: Broker, masters: Masters, *, account: str, now_ms: Callable[[], int]) -> None:
        self._broker = broker
        self._masters = masters
        self._account = account
        self.now_ms = now_ms

    # -- reading -------------------------------------------------------------------------------------------------------

    async def version(self) -> bytes | None:
        """Return what changes with every change; ``None`` while nothing was ever kept."""
        (record,) = (await self._broker.perform(GetRecords((VERSION,)))).records
        return None if record is None else record.value

    async def load(self) -> Kept:
        """Return everything."""
        version = await self.version()
        return Kept(version) if version is None else Kept(version, await self._keys())

    async def list_keys(self) -> tuple[KeyView, ...]:
        """Return all keys, also those that ended in the last 90 days, in the order they were made."""
        now = self.now_ms()
        return tuple(key_view(each, now) for each in sorted(await self._keys(), key=lambda each: each.created_at))

    def secret_of(self, key: KeptKey) -> str | None:
        """Return a key's secret; ``None`` where its master key is not known here."""
        master = self._masters.find(key.master_id)
        return None if master is None else master.secret_of(key.key_id)

    # -- changing ------------------------------------------------------------------------------------------------------

    async def create_key(self, wish: KeyWish, by: str) -> NewKey:
        """Make a key.

        Args:
            wish: what it is to be.
            by: who makes it.

        Raises:
            InvalidRequest: it cannot be meant.
            MasterKeyMissing: there is nothing to derive its secret from.
        """
        _check(wish)
        now = self.now_ms()
        key_id = "PK" + "".join(secrets.choice(_ID_LETTERS) for _ in range(18))
        key = KeptKey(
            key_id=key_id,
            name=wish.name or key_id,
            account=wish.account or self._account,
            allow=tuple(str(read_grant(each)) for each in wish.allow),
            master_id="",
            created_at=now,
            created_by=by,
            expires_at=None if wish.expires_seconds is None else now + int(wish.expires_seconds * 1000),
            note=wish.note,
        )
        return await self._add(key)

    async def rotate_key(self, key_id: str, grace: Grace, by: str) -> NewKey:
        """Make a key that may do the same; the old one ends after the grace time.

        Raises:
            KeyNotFound, InvalidRequest: there is no such key, or it has ended already.
        """
        if not 0 <= grace.grace_seconds <= LONGEST_SECONDS:
            raise InvalidRequest("The grace time must be 0 to ten years.", field="grace_seconds")
        old, kept = await self._find(key_id)
        now = self.now_ms()
        if key_view(old, now).status != "active":
            raise InvalidRequest(
                f"{key_id} is {key_view(old, now).status}.", hint="Rotate the key that replaced it, or make a new one."
            )
        lasted = None if old.expires_at is None else max(1, old.expires_at - old.created_at)
        fresh = "PK" + "".join(secrets.choice(_ID_LETTERS) for _ in range(18))
        name = fresh if old.name == old.key_id else old.name
        successor = structs.replace(
            old,
            key_id=fresh,
            name=name,
            created_at=max(now, old.created_at + 1),  # listed behind it
            created_by=by,
            expires_at=None if lasted is None else now + lasted,
        )
        ends_at = now + int(grace.grace_seconds * 1000)
        if old.expires_at is not None:
            ends_at = min(ends_at, old.expires_at)
        ended = structs.replace(old, expires_at=ends_at, replaced_by=fresh)
        return await self._add(successor, (kept, ended))

    async def revoke_key(self, key_id: str, by: str) -> KeyView:
        """End a key now. One that has ended stays as it is.

        Raises:
            KeyNotFound: there is no such key.
        """
        old, kept = await self._find(key_id)
        now = self.now_ms()
        if old.revoked_at is not None:
            return key_view(old, now)
        revoked = structs.replace(old, revoked_at=now, revoked_by=by)
        await self._apply([(kept, revoked)])
        return key_view(revoked, now)

    # -- how it is done ------------------------------------------------------------------------------------------------

    async def _keys(self) -> tuple[KeptKey, ...]:
        found: list[KeptKey] = []
        async for record in all_records(self._broker, KEYS):
            try:
                found.append(_read_key(record.value))
            except msgspec.MsgspecError:
                continue  # of a newer Penstock, or damaged: nobody is let in by it
        return tuple(found)

    async def _find(self, key_id: str) -> tuple[KeptKey, bytes]:
        (record,) = (await self._broker.perform(GetRecords((KEYS + key_id[:200],)))).records
        if record is None:
            raise KeyNotFound(
                f"There is no key {key_id[:200]!r} in the store.",
                hint="`penstock key list` shows them; keys of the configuration are changed there.",
                field="key_id",
            )
        return _read_key(record.value), record.value

    async def _add(self, key: KeptKey, *changes: tuple[bytes, KeptKey]) -> NewKey:
        master = self._masters.newest()
        is_first = await self.version() is None
        key = structs.replace(key, master_id=master.master_id)
        await self._apply([(None, key), *changes])
        return NewKey(key_view(key, self.now_ms()), master.secret_of(key.key_id), is_first)

    async def _apply(self, changes: Sequence[tuple[bytes | None, KeptKey]]) -> None:
        """Keep keys in place of what was read of them."""
        await keep(
            self._broker,
            [Change(KEYS + key.key_id, before, _encode(key), _forgotten_at(key)) for before, key in changes],
        )


def _forgotten_at(key: KeptKey) -> int | None:
    ends = [instant for instant in (key.revoked_at, key.expires_at) if instant is not None]
    return min(ends) + REMEMBERED_MS if ends else None


def _check(wish: KeyWish) -> None:
    if not wish.allow:
        raise InvalidRequest(
            "A key without grants may do nothing.", hint="Say what it may do, such as operate:orders-*.", field="allow"
        )
    check_grants(wish.allow)
    if wish.name and not _NAME.fullmatch(wish.name):
        raise InvalidRequest("A name has up to 64 letters, digits and _.@+=,-", field="name")
    if wish.account is not None and not _ACCOUNT.fullmatch(wish.account):
        raise InvalidRequest("An account has twelve digits.", field="account")
    if wish.expires_seconds is not None and not 0 < wish.expires_seconds <= LONGEST_SECONDS:
        raise InvalidRequest("A key lasts more than 0 seconds and up to ten years.", field="expires_seconds")
    if len(wish.note) > 200:
        raise InvalidRequest("A note has up to 200 characters.", field="note")


def check_grants(allow: Sequence[str]) -> None:
    """Refuse grants that cannot be meant.

    Raises:
        InvalidRequest: saying why.
    """
    if len(allow) > 100:
        raise InvalidRequest("There are more than 100 grants.", hint="Use patterns.", field="allow")
    for each in allow:
        try:
            read_grant(each)
        except ValueError as error:
            raise InvalidRequest(
                f"{error}.", hint="Write role or role:pattern, such as operate:orders-*.", field="allow"
            ) from None
