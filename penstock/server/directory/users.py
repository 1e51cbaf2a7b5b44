"""Users: people who log in to the console with a name and a password. What they may do is said as for keys."""

import re
from collections.abc import Callable

import msgspec
from msgspec import Struct, structs

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest, PenstockError
from penstock.core.operations import GetRecords
from penstock.core.rights import read_grant
from penstock.server.directory.directory import check_grants
from penstock.server.directory.keeping import Change, all_records, keep
from penstock.server.directory.passwords import Passwords
from penstock.server.directory.shapes import PREFIX

USERS = PREFIX + "user/"
_NAME = re.compile(r"[\w.@+=,-]{1,64}", re.ASCII)

_encode = msgspec.json.Encoder().encode


class UserNotFound(PenstockError):
    """No user has that name."""

    code = "user_not_found"
    fault = "caller"


class KeptUser(Struct, frozen=True, omit_defaults=True):
    """A user as they are kept.

    Attributes:
        name: what they log in with, and policies know them by.
        account: twelve digits.
        allow: their grants, as text.
        password: its hash.
        password_at: when it was set (ms since the epoch); logins of before no longer count.
        created_at, created_by: when and by whom they were made.
    """

    name: str
    account: str
    allow: tuple[str, ...]
    password: str
    password_at: int
    created_at: int
    created_by: str = ""


class UserWish(Struct, frozen=True, forbid_unknown_fields=True):
    """A user to make."""

    name: str
    allow: tuple[str, ...]
    password: str


class UserChange(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is to be other with a user: their grants, their password, or both."""

    allow: tuple[str, ...] | None = None
    password: str | None = None


class UserView(Struct, frozen=True, omit_defaults=True):
    """What is told of a user."""

    name: str
    account: str
    allow: tuple[str, ...]
    created_at: int
    created_by: str
    password_at: int


read_user = msgspec.json.Decoder(KeptUser).decode


class Users:
    """The users of a store.

    Args:
        broker: keeps the records.
        account: theirs.
        now_ms: the time.

    Attributes:
        passwords: hashes them.
    """

    def __init__(self, broker: Broker, *, account: str, now_ms: Callable[[], int]) -> None:
        self._broker = broker
        self._account = account
        self._now_ms = now_ms
        self.passwords = Passwords()

    async def load(self) -> dict[str, KeptUser]:
        """Return all users by name."""
        found = {}
        async for record in all_records(self._broker, USERS):
            try:
                user = read_user(record.value)
            except msgspec.MsgspecError:
                continue  # of a newer Penstock, or damaged: nobody is let in by it
            found[user.name] = user
        return found

    async def list_users(self) -> tuple[UserView, ...]:
        """Return all users in the order of their names."""
        return tuple(map(_view, (await self.load()).values()))

    async def create_user(self, wish: UserWish, by: str) -> UserView:
        """Make a user. Raises InvalidRequest where they cannot be meant, or are there already."""
        if not _NAME.fullmatch(wish.name):
            raise InvalidRequest("A name has up to 64 letters, digits and _.@+=,-", field="name")
        grants = _grants(wish.allow)
        (known,) = (await self._broker.perform(GetRecords((USERS + wish.name,)))).records
        if known is not None:
            raise InvalidRequest(f"There is a user {wish.name!r} already.", hint="Change them.", field="name")
        now = self._now_ms()
        hashed = await self.passwords.kept(wish.password)
        user = KeptUser(wish.name, self._account, grants, hashed, now, now, by)
        await keep(self._broker, (Change(USERS + user.name, None, _encode(user)),))
        return _view(user)

    async def change_user(self, name: str, change: UserChange) -> UserView:
        """Give a user other grants or another password; another password ends their logins.

        Raises:
            UserNotFound, InvalidRequest: there is none, or it cannot be meant.
        """
        user, kept = await self._find(name)
        if change.allow is not None:
            user = structs.replace(user, allow=_grants(change.allow))
        if change.password is not None:
            hashed = await self.passwords.kept(change.password)
            user = structs.replace(user, password=hashed, password_at=max(self._now_ms(), user.password_at + 1))
        await keep(self._broker, (Change(USERS + name, kept, _encode(user)),))
        return _view(user)

    async def delete_user(self, name: str) -> UserView:
        """Forget a user; their logins end. Raises UserNotFound."""
        user, kept = await self._find(name)
        await keep(self._broker, (Change(USERS + name, kept, None),))
        return _view(user)

    async def _find(self, name: str) -> tuple[KeptUser, bytes]:
        (record,) = (await self._broker.perform(GetRecords((USERS + name[:200],)))).records
        if record is None:
            raise UserNotFound(
                f"There is no user {name[:200]!r}.", hint="`penstock user list` shows them.", field="name"
            )
        return read_user(record.value), record.value


def _grants(allow: tuple[str, ...]) -> tuple[str, ...]:
    if not allow:
        raise InvalidRequest(
            "A user without grants may do nothing.", hint="Say what they may do, such as view.", field="allow"
        )
    check_grants(allow)
    return tuple(str(read_grant(each)) for each in allow)


def _view(user: KeptUser) -> UserView:
    return UserView(user.name, user.account, user.allow, user.created_at, user.created_by, user.password_at)
