"""The keys that content is sealed with: read from the environment, told apart by ids that tell nothing of them."""

import base64
import binascii
import hmac
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from penstock.core.errors import InvalidRequest
from penstock.core.sealed import KEY_ID_LENGTH

CLEAR = "clear"
"""Stands first in the place of a key: what is new is kept in the clear, and what is sealed is opened."""

KEY_BYTES = 32
_SENDERS_KNOWN = 4096


class EncryptionKey:
    """One key. Content is sealed with keys that are derived from it.

    Args:
        secret: 32 bytes that nobody can guess.

    Attributes:
        key_id: names it, and tells nothing of it.
        records: seals records.
    """

    __slots__ = ("_bodies", "_duplicates", "cipher", "key_id", "records")

    def __init__(self, secret: bytes) -> None:
        self.key_id = _derived(secret, "which key is this").hex()[:KEY_ID_LENGTH]
        self.records = AESSIV(_derived(secret, "records", "sha512"))
        self._bodies = _derived(secret, "bodies")
        self._duplicates = _derived(secret, "duplicates")
        self.cipher = lru_cache(maxsize=_SENDERS_KNOWN)(self._cipher)

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._bodies, salt, "sha256"))

    def digest_of(self, body: str) -> str:
        """Return what tells equal bodies from others, to those who have the key only."""
        return hmac.digest(self._duplicates, body.encode(), "sha256").hex()

    def __repr__(self) -> str:
        return f"EncryptionKey({self.key_id})"


class Keyring:
    """Keys that open content, one of which seals.

    Args:
        keys: all of them.
        first: that one of them which seals; ``None``: nothing new is sealed.
    """

    __slots__ = ("_by_id", "first")

    def __init__(self, keys: tuple[EncryptionKey, ...], first: EncryptionKey | None) -> None:
        self.first = first
        self._by_id = {key.key_id: key for key in keys}

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all of them, in the order given."""
        return tuple(self._by_id)

    def find(self, key_id: str) -> EncryptionKey | None:
        """Return a key by its id."""
        return self._by_id.get(key_id)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.ids)})"


def keyring_of(text: str, source: str) -> Keyring:
    """Return the keys that a text has.

    Args:
        text: keys in base64 as ``openssl rand -base64 32`` makes them, separated by commas or white space; the first
            one seals. ``clear`` in its place: none does.
        source: where the text is from.

    Raises:
        InvalidRequest: one is no key.
    """
    words = text.replace(",", " ").split()
    seals = words[:1] != [CLEAR]
    keys = tuple(EncryptionKey(_secret(word, at, source)) for at, word in enumerate(words) if at or seals)
    if not keys:
        raise InvalidRequest(f"{source} has no key.", hint="Make one with `penstock encryption key`.", field="store")
    return Keyring(keys, keys[0] if seals else None)


def _secret(word: str, at: int, source: str) -> bytes:
    try:
        secret = base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise InvalidRequest(
            f"{source}: key {at + 1} is not {KEY_BYTES} bytes in base64.",
            hint="Make one with `penstock encryption key`.",
            field="store",
        )
    return secret


def _derived(secret: bytes, purpose: str, digest: str = "sha256") -> bytes:
    return hmac.digest(secret, f"penstock encryption: {purpose}".encode(), digest)
