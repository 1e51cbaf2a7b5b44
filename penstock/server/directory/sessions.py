"""Logins as they are kept: under the hash of a random token that only the browser's cookie has."""

import secrets
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.effects import Record
from penstock.core.operations import DeleteRecords, GetRecords, PutRecords
from penstock.server.directory.masters import digest_of
from penstock.server.directory.shapes import PREFIX

SESSIONS = PREFIX + "session/"
KNOWN_MS = 2000
"""So long what was read of a session is believed; one that another server ended lasts so much longer here."""

MOST_KNOWN = 10_000

_encode = msgspec.json.Encoder().encode


class Session(Struct, frozen=True):
    """A login.

    Attributes:
        kind: whether a user or the holder of a key logged in.
        name: which.
        stamp: when the user's password was set; 0 for keys. Another one ends the session.
        began_at: when they logged in (ms since the epoch).
    """

    kind: Literal["user", "key"]
    name: str
    stamp: int
    began_at: int


_read = msgspec.json.Decoder(Session).decode


class Sessions:
    """The logins of a store.

    Args:
        broker: keeps the records.
        now_ms: the time.
        idle_seconds: a session of which nothing is heard ends after so long.
        whole_seconds: every session ends after so long.
    """

    def __init__(self, broker: Broker, *, now_ms: Callable[[], int], idle_seconds: float, whole_seconds: float) -> None:
        self._broker = broker
        self._now_ms = now_ms
        self._idle_ms = int(idle_seconds * 1000)
        self._whole_ms = int(whole_seconds * 1000)
        self._known: dict[str, tuple[Session, int, int]] = {}

    async def begin(self, kind: Literal["user", "key"], name: str, stamp: int) -> str:
        """Keep a session and return its token."""
        token = secrets.token_urlsafe(32)
        now = self._now_ms()
        await self._keep(digest_of(token), Session(kind, name, stamp, now), now)
        return token

    async def find(self, digest: str) -> Session | None:
        """Return a session by the digest of its token, and take note that it was used.

        Raises:
            PenstockError: the store cannot be read.
        """
        now = self._now_ms()
        session, until, kept_at = self._known.get(digest, (None, 0, 0))
        if session is None or now >= until:
            (record,) = (await self._broker.perform(GetRecords((SESSIONS + digest,)))).records
            if record is None:
                self._known.pop(digest, None)
                return None
            session = _read(record.value)
            kept_at = (record.expires_at or now) - self._idle_ms
            self._remember(digest, session, now, kept_at)
        if now >= session.began_at + self._whole_ms:
            await self.end(digest)
            return None
        if now - kept_at >= self._idle_ms // 8:
            await self._keep(digest, session, now)
        return session

    async def end(self, digest: str) -> None:
        """End a session."""
        self._known.pop(digest, None)
        await self._broker.perform(DeleteRecords((SESSIONS + digest,)))

    async def _keep(self, digest: str, session: Session, now: int) -> None:
        expires_at = min(now + self._idle_ms, session.began_at + self._whole_ms)
        await self._broker.perform(PutRecords((Record(SESSIONS + digest, _encode(session), expires_at=expires_at),)))
        self._remember(digest, session, now, now)

    def _remember(self, digest: str, session: Session, now: int, kept_at: int) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[digest] = (session, now + min(KNOWN_MS, self._idle_ms), kept_at)
