"""Sealing and opening: texts and values under a nonce of their own, records so that equal ones stay equal.

What is sealed is bound to what it belongs to (``bound``): put elsewhere, it does not open. Who seals does so with a
cipher derived from the key and a salt, so that random nonces do not run out (decision 0019).
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import ValidationError, convert, to_builtins  # which have the fastest base64 there is here

from penstock.core.sealed import ADDED_BYTES, HEADER_LENGTH, MARK, MARK_BYTES, NONCE_BYTES, SALT_BYTES, key_id_of
from penstock.store.sealed.keys import EncryptionKey, Keyring

_MOST_UNDER_ONE_SALT = 1 << 28


class Unopenable(Exception):
    """Something is sealed and cannot be opened. The text says why, to be put behind a colon; never a key or content.

    Attributes:
        missing: the id of the key, where that is not here.
    """

    def __init__(self, why: str, missing: str | None = None) -> None:
        super().__init__(why)
        self.missing = missing


class Sealing:
    """Seals and opens with some keys.

    Args:
        keys: with which.
    """

    def __init__(self, keys: Keyring) -> None:
        self.keys = keys
        self._left = 0
        self._salt = b""
        self._cipher: AESGCM | None = None

    # -- texts and values --------------------------------------------------------------------------------------------

    def seal_text(self, text: str, bound: bytes) -> str:
        """Return a text sealed, or as it is where nothing is sealed."""
        key = self.keys.first
        if key is None:
            return text
        return f"{MARK}{key.key_id}.{to_builtins(self._sealed(key, text.encode(), bound))}"

    def open_text(self, text: str, bound: bytes) -> str:
        """Return what is sealed in a text, or the text that is in the clear. Raises Unopenable."""
        key_id = key_id_of(text)
        if key_id is None:
            return text
        try:
            return self._opened(key_id, convert(text[HEADER_LENGTH:], bytes), bound).decode()
        except (ValidationError, UnicodeError) as error:
            raise Unopenable(_changed(key_id)) from error

    def seal_value(self, value: bytes, bound: bytes) -> bytes:
        """Return a value sealed, or as it is where nothing is sealed."""
        key = self.keys.first
        return value if key is None else _header(key) + self._sealed(key, value, bound)

    def open_value(self, value: bytes, bound: bytes) -> bytes:
        """Return what is sealed in a value, or the value that is in the clear. Raises Unopenable."""
        key_id = key_id_of(value)
        return value if key_id is None else self._opened(key_id, value[HEADER_LENGTH:], bound)

    def _sealed(self, key: EncryptionKey, clear: bytes, bound: bytes) -> bytes:
        if not self._left or self._cipher is None:
            self._left = _MOST_UNDER_ONE_SALT
            self._salt = os.urandom(SALT_BYTES)
            self._cipher = key.cipher(self._salt)
        self._left -= 1
        nonce = os.urandom(NONCE_BYTES)
        return self._salt + nonce + self._cipher.encrypt(nonce, clear, bound)

    def _opened(self, key_id: str, packed: bytes, bound: bytes) -> bytes:
        key = self._key(key_id)
        if len(packed) < ADDED_BYTES:
            raise Unopenable(_changed(key_id))
        salt, nonce = packed[:SALT_BYTES], packed[SALT_BYTES : SALT_BYTES + NONCE_BYTES]
        try:
            return key.cipher(salt).decrypt(nonce, packed[SALT_BYTES + NONCE_BYTES :], bound)
        except InvalidTag as error:
            raise Unopenable(_changed(key_id)) from error

    # -- records -----------------------------------------------------------------------------------------------------

    def seal_record(self, key: str, value: bytes) -> bytes:
        """Return the value of a record sealed, always in the same way, or as it is where nothing is sealed."""
        first = self.keys.first
        return value if first is None else _header(first) + first.records.encrypt(value, [key.encode()])

    def open_record(self, key: str, value: bytes) -> bytes:
        """Return what is sealed in the value of a record, or the value that is in the clear. Raises Unopenable."""
        key_id = key_id_of(value)
        if key_id is None:
            return value
        try:
            return self._key(key_id).records.decrypt(value[HEADER_LENGTH:], [key.encode()])
        except (InvalidTag, ValueError) as error:
            raise Unopenable(_changed(key_id)) from error

    def _key(self, key_id: str) -> EncryptionKey:
        key = self.keys.find(key_id)
        if key is None:
            raise Unopenable(f"it was sealed with key {key_id}, which is not here", key_id)
        return key


def _header(key: EncryptionKey) -> bytes:
    return MARK_BYTES + key.key_id.encode() + b"."


def _changed(key_id: str) -> str:
    return f"it is not what was sealed with key {key_id}"
