"""Who may call a server: the keys of its configuration, and the keys and users of the store, followed as they change.

A change is seen at once by the server that made it and by the others when they next look, every two seconds. While the
store cannot be read, what was last known holds.
"""

import asyncio
import contextlib
import logging

from penstock.core.errors import PenstockError
from penstock.core.rights import Rights, read_grant
from penstock.server.auth import Gate
from penstock.server.directory.directory import Directory
from penstock.server.directory.shapes import KeptKey
from penstock.server.directory.users import KeptUser, Users
from penstock.server.options import Key

log = logging.getLogger("penstock.access")

LOOK_SECONDS = 2.0


class Roster:
    """Keeps a gate's keys up to date.

    Args:
        directory: the keys of the store.
        users: the users of the store.
        gate: what they open.
        may_close: whether the gate is closed as soon as the store has keys; else it stays as it is.

    Attributes:
        users: those who may log in, by name.
    """

    def __init__(self, directory: Directory, users: Users, gate: Gate, *, may_close: bool) -> None:
        self.users: dict[str, KeptUser] = {}
        self._directory = directory
        self._users = users
        self._rights: dict[str, Rights] = {}
        self._gate = gate
        self._may_close = may_close
        self._version: bytes | None = None
        self._next_change_at: int | None = None
        self._unusable: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._is_away = False

    async def start(self) -> None:
        """Read the keys, and follow them from now on."""
        await self.look()
        self._looking = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        """Follow them no more."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def look(self) -> None:
        """Take over what has changed.

        Raises:
            PenstockError: the store cannot be read.
        """
        version = await self._directory.version()
        if version == self._version and not self._is_due():
            return
        kept = await self._directory.load()
        users = await self._users.load()
        now = self._directory.now_ms()
        valid: dict[str, Key] = {}
        ends = []
        for each in kept.keys:
            if each.revoked_at is not None or (each.expires_at is not None and each.expires_at <= now):
                continue
            secret = self._directory.secret_of(each)
            if secret is None:
                self._tell_unusable(each)
                continue
            if each.expires_at is not None:
                ends.append(each.expires_at)
            valid[each.key_id] = Key(each.key_id, secret, each.account, each.name, _rights(each.allow))
        self._gate.admit(valid, closes=self._may_close and kept.version is not None)
        self.users = users
        self._rights = {}
        self._version = kept.version
        self._next_change_at = min(ends, default=None)

    def rights_of_user(self, name: str) -> Rights:
        """Return what a user may do."""
        rights = self._rights.get(name)
        if rights is None:
            rights = self._rights[name] = _rights(self.users[name].allow)
        return rights

    def _is_due(self) -> bool:
        return self._next_change_at is not None and self._directory.now_ms() >= self._next_change_at

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
                self._is_away = False
            except PenstockError as error:
                if not self._is_away:
                    log.warning("the keys in the store cannot be read, the last known hold: %s", error.code)
                self._is_away = True
            except Exception:
                log.exception("the keys in the store cannot be read")

    def _tell_unusable(self, key: KeptKey) -> None:
        if key.key_id not in self._unusable:
            self._unusable.add(key.key_id)
            log.warning("key %s was made with master key %s, which is not known here", key.key_id, key.master_id)


def _rights(allow: tuple[str, ...]) -> Rights:
    grants = []
    for each in allow:
        with contextlib.suppress(ValueError):  # of a newer Penstock: what is not understood gives nothing
            grants.append(read_grant(each))
    return Rights(grants)
