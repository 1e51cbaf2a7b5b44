"""Keys for tests, and what the environment says where they are used."""

import base64
from collections.abc import Mapping

from penstock.store.sealed.keys import Keyring, keyring_of
from penstock.store.sealed.opening import VARIABLE

FIRST_KEY = base64.b64encode(bytes(range(32))).decode()
SECOND_KEY = base64.b64encode(bytes(range(100, 132))).decode()


def keyring(*keys: str) -> Keyring:
    """Return a keyring: the first key seals."""
    return keyring_of(",".join(keys), "The test")


def environment(*keys: str) -> Mapping[str, str]:
    """Return the variables of a process that has keys."""
    return {VARIABLE: ",".join(keys)}
