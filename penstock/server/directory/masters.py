"""Master keys: what the secrets of keys are derived from, so that no secret is kept anywhere (decision 0014).

They come from the configuration. Where it names none, a SQLite store has one in a file beside it, which is made when it
is first needed; stores that several machines share need one that all of them are told.
"""

import base64
import contextlib
import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, urlsplit

from penstock.core.errors import PenstockError

SHORTEST = 32
FILE_SUFFIX = ".master-key"

_SECRET_BYTES = 30


class MasterKeyMissing(PenstockError):
    """There is no master key to derive secrets from."""

    code = "master_key_missing"
    fault = "caller"


class Master:
    """One master key.

    Args:
        text: 32 characters or more that nobody can guess.

    Attributes:
        master_id: names it, and tells nothing of it.
    """

    __slots__ = ("_key", "master_id")

    def __init__(self, text: str) -> None:
        self._key = text.encode()
        self.master_id = hmac.digest(self._key, b"penstock: which master key is this", "sha256").hex()[:8]

    def secret_of(self, key_id: str) -> str:
        """Return the secret of a key: 40 characters of base64url, 240 bits that nobody knows who has not the master."""
        code = hmac.digest(self._key, b"penstock: secret of " + key_id.encode(), "sha256")
        return base64.urlsafe_b64encode(code[:_SECRET_BYTES]).decode()


class Masters:
    """The master keys of a store, the newest first.

    Args:
        texts: as configured.
        file: where one is kept if none is configured; ``None``: nowhere.
    """

    def __init__(self, texts: tuple[str, ...] = (), file: Path | None = None) -> None:
        self._known = [Master(text) for text in texts]
        self._file = None if texts else file

    def newest(self) -> Master:
        """Return the one that secrets of new keys are derived from; where there is a file for it, make one.

        Raises:
            MasterKeyMissing: there is none.
        """
        self._read()
        if not self._known and self._file is not None:
            self._make(self._file)
        if not self._known:
            raise MasterKeyMissing(
                "Keys cannot be made without a master key.",
                hint="Make one with `openssl rand -base64 33` and give it to every server and to this command as "
                "PENSTOCK_MASTER_KEY.",
                field="master_key",
            )
        return self._known[0]

    def find(self, master_id: str) -> Master | None:
        """Return a master key by its id, if it is known here."""
        if not self._known:
            self._read()
        return next((each for each in self._known if each.master_id == master_id), None)

    def _read(self) -> None:
        if not self._known and self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                self._known = [Master(text) for text in self._file.read_text("ascii").split()]

    def _make(self, file: Path) -> None:
        draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as written:
            written.write(secrets.token_urlsafe(33) + "\n")
            written.flush()
            os.fsync(written.fileno())
        try:
            os.link(draft, file)  # whole or not at all, and never in place of one that another process made
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        self._read()


def masters_of(configured: tuple[str, ...], store_url: str) -> Masters:
    """Return the master keys of a store.

    Args:
        configured: those of the configuration, the newest first.
        store_url: of the store.
    """
    parts = urlsplit(store_url)
    if configured:
        return Masters(configured)
    if parts.scheme == "memory":
        return Masters((secrets.token_urlsafe(33),))
    if parts.scheme == "sqlite":
        path = Path(unquote(parts.path[1:]))
        return Masters(file=path.with_name(path.name + FILE_SUFFIX))
    return Masters()


def digest_of(token: str) -> str:
    """Return what is kept of a random token: enough to know it again, useless to anybody else."""
    return sha256(token.encode()).hexdigest()
