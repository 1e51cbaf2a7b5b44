"""Where sealing begins: the keys of the environment, and what the store itself says about which keys it needs."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from penstock.core.errors import InvalidRequest, PenstockError, StoreUnavailable
from penstock.store.contract import Store
from penstock.store.sealed.notice import note_key, read_notice

if TYPE_CHECKING:
    from penstock.store.sealed.keys import Keyring

log = logging.getLogger("penstock.store")

VARIABLE = "PENSTOCK_ENCRYPTION_KEYS"
FILE_VARIABLE = "PENSTOCK_ENCRYPTION_KEYS_FILE"


class EncryptionKeyMissing(PenstockError):
    """The store has sealed content, and the keys for it are not here."""

    code = "encryption_key_missing"


def keys_in(environment: Mapping[str, str]) -> "Keyring | None":
    """Return the keys that the environment has.

    Raises:
        InvalidRequest: they cannot be read, or the package that encrypts is not here.
    """
    found = _text_in(environment)
    if found is None:
        return None
    try:
        from penstock.store.sealed.keys import keyring_of
    except ImportError as error:
        raise InvalidRequest(
            "Encryption needs the package cryptography.", hint="pip install 'penstock[encryption]'", field="store"
        ) from error
    return keyring_of(*found)


async def sealed(store: Store, environment: Mapping[str, str] = os.environ) -> Store:
    """Return a store whose content is sealed with the keys of the environment; without keys, the store itself.

    One that cannot be used so is closed.

    Raises:
        InvalidRequest: the keys cannot be read.
        EncryptionKeyMissing: content of the store is sealed, with no key that is here.
    """
    try:
        keys = keys_in(environment)
        if keys is None:
            await _check(store, ())
            return store
        return await sealed_with(store, keys)
    except BaseException:
        await store.aclose()
        raise


async def sealed_with(store: Store, keys: "Keyring") -> Store:
    """Return a store whose content is sealed and opened. Raises EncryptionKeyMissing."""
    from penstock.store.sealed.store import SealedStore

    await _check(store, keys.ids)
    if keys.first is not None:
        try:
            await note_key(store, keys.first.key_id)
        except StoreUnavailable:
            log.warning("The store cannot be told now which key it is sealed with; the next process tells it.")
    return cast(Store, SealedStore(store, keys))


def _text_in(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Return what the environment says of keys, and where it does; ``None``: nothing.

    Raises:
        InvalidRequest: it names a file that cannot be read, or says it twice.
    """
    text, file = environment.get(VARIABLE), environment.get(FILE_VARIABLE)
    if text and file:
        raise InvalidRequest(f"{VARIABLE} and {FILE_VARIABLE} are both set.", hint="Set one of them.", field="store")
    if not file:
        return (text, VARIABLE) if text else None
    try:
        return Path(file).read_text("ascii"), f"The file {file}"
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidRequest(
            f"The file {file} that {FILE_VARIABLE} names cannot be read: {why}.",
            hint="Check the path and its permissions.",
            field="store",
        ) from None


def plain(store: Store) -> Store:
    """Return the store that keeps what is sealed; itself, if nothing is."""
    return cast(Store, getattr(store, "plain_store", store))


class Encryption(Struct, frozen=True):
    """How a store is sealed, by ids of keys.

    Attributes:
        seals: what is new; ``None``: it is kept in the clear.
        opens: all that are given.
        missing: what content may be sealed with and are not given.
    """

    seals: str | None
    opens: tuple[str, ...]
    missing: tuple[str, ...]


async def encryption_of(store: Store) -> Encryption | None:
    """Return how a store is sealed; ``None``: it is not. Raises StoreDamaged."""
    keys: Keyring | None = getattr(store, "keys", None)
    if keys is None:
        return None
    needed = (await read_notice(plain(store)))[0].key_ids
    missing = tuple([each for each in needed if each not in keys.ids])
    return Encryption(None if keys.first is None else keys.first.key_id, keys.ids, missing)


async def _check(store: Store, key_ids: tuple[str, ...]) -> None:
    """Refuse a store of which nothing could be opened; warn of one of which something could not.

    Where the shard that knows is away, the others serve all the same.
    """
    try:
        needed = (await read_notice(store))[0].key_ids
    except StoreUnavailable as error:
        log.warning("Which keys the store is sealed with is not known now: %s", error)
        return
    missing = [each for each in needed if each not in key_ids]
    if not missing:
        return
    named = f"{'keys' if len(missing) > 1 else 'key'} {', '.join(missing)}"
    if len(missing) == len(needed):
        raise EncryptionKeyMissing(
            f"Content of the store is sealed with {named}.",
            hint=f"Set {VARIABLE}, or {FILE_VARIABLE}, to the keys that it was sealed with.",
        )
    log.warning("Content of the store may be sealed with %s too, not given here: that will not be opened.", named)
