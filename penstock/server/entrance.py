"""All that decides whom a server lets in and what they may do, put together."""

from penstock.broker.contract import Broker
from penstock.core.clock import Clock
from penstock.server.access import Access
from penstock.server.auth import Gate
from penstock.server.browsers import Browsers
from penstock.server.desk import Desk
from penstock.server.directory.directory import Directory
from penstock.server.directory.masters import Masters
from penstock.server.directory.roster import Roster
from penstock.server.directory.sessions import Sessions
from penstock.server.directory.throttle import Throttle
from penstock.server.directory.users import Users
from penstock.server.logins import Logins
from penstock.server.options import ServerOptions

MOST_WRONG = 10
"""So many wrong passwords for a name from an address within five minutes make it wait."""


class Entrance:
    """What stands before a server's dialects.

    Args:
        broker: keeps what the store knows of keys, users and logins, and tells the policies of queues.
        options: of the server.
        clock: tells the time. Signatures are checked against the machine's clock in any case.
        masters: what the secrets of the store's keys are derived from; those of the options if not given.

    Attributes:
        gate, logins: find out who is calling, by key and by cookie.
        access: decides what they may do, where they need a key.
        browsers: keeps pages of other sites away.
        desk: answers what is asked about keys, users and logins.
        roster: follows who may call.
    """

    def __init__(self, broker: Broker, options: ServerOptions, clock: Clock, masters: Masters | None = None) -> None:
        account, now_ms = options.account, clock.now_ms
        self.gate = Gate(options.keys, account=account, region=options.region, is_closed=options.auth == "keys")
        self.access = Access(broker, account=account, region=options.region, now_ms=now_ms)
        self.browsers = Browsers(options)
        directory = Directory(broker, masters or Masters(options.master_keys), account=account, now_ms=now_ms)
        users = Users(broker, account=account, now_ms=now_ms)
        self.roster = Roster(directory, users, self.gate, may_close=options.auth is None)
        sessions = Sessions(
            broker,
            now_ms=now_ms,
            idle_seconds=options.session_idle_seconds,
            whole_seconds=options.session_seconds,
        )
        self.logins = Logins(
            self.gate, self.roster, users, sessions, self.browsers, Throttle(MOST_WRONG, 10 * MOST_WRONG)
        )
        self.desk = Desk(directory, users, self.roster, self.gate, self.logins, self.browsers)
        self._is_asked = options.auth != "none"

    async def open(self) -> None:
        """Read who may call, and follow it from now on. Raises PenstockError when the store cannot be read."""
        if self._is_asked:
            await self.roster.start()

    async def aclose(self) -> None:
        """Follow it no more."""
        await self.roster.stop()

    @property
    def key_count(self) -> int | None:
        """How many keys there are; ``None``: everybody may call."""
        return None if self.gate.is_open else self.gate.key_count
