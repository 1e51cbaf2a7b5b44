"""Against guessing: who failed too often to prove who they are has to wait; what they say meanwhile is not looked at.

Failures are counted for an address, for a name, and for both together. Memory is bounded: the longest unheard of are
forgotten first.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from time import monotonic

from penstock.core.errors import PenstockError

WINDOW_SECONDS = 300
MOST_REMEMBERED = 10_000
_NAME_CHARACTERS = 64


class TooManyFailures(PenstockError):
    """Too many attempts to prove who one is have failed."""

    code = "too_many_failures"
    fault = "caller"


class Throttle:
    """Counts failures.

    Args:
        most_of_both: so many failures of a name from an address within five minutes make them wait.
        most_of_one: so many of a name, or from an address.
        now_seconds: the process's clock.
    """

    def __init__(self, most_of_both: int, most_of_one: int, now_seconds: Callable[[], float] = monotonic) -> None:
        self._most_of_both = most_of_both
        self._most_of_one = most_of_one
        self._now = now_seconds
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._proven: OrderedDict[tuple[str, str], None] = OrderedDict()

    @property
    def is_watching(self) -> bool:
        """Whether anybody failed lately; else there is nothing to check."""
        return bool(self._failures)

    def check(self, address: str, name: str) -> None:
        """Refuse who failed too often.

        Args:
            address: where the request comes from.
            name: whom it claims to be from.

        Raises:
            TooManyFailures: saying how long to wait.
        """
        self._forget()
        address, name = _network(address), name[:_NAME_CHARACTERS]
        waits = max(self._wait((address, name), self._most_of_both), self._wait((address, ""), self._most_of_one))
        if (address, name) not in self._proven:  # nobody locks out those who have shown that they are who they say
            waits = max(waits, self._wait(("", name), self._most_of_one))
        if waits > 0:
            raise TooManyFailures(
                "Too many attempts with a wrong secret.", hint=f"Try again in {int(waits) + 1} seconds."
            )

    def failed(self, address: str, name: str) -> bool:
        """Count a failure; return whether it was the one that makes them wait."""
        address, name = _network(address), name[:_NAME_CHARACTERS]
        now = self._now()
        is_last = False
        limits = {(address, name): self._most_of_both, (address, ""): self._most_of_one, ("", name): self._most_of_one}
        for which, most in limits.items():
            if which == ("", ""):
                continue
            count, since = self._failures.pop(which, (0, now))
            if now - since >= WINDOW_SECONDS:
                count, since = 0, now
            self._failures[which] = (count + 1, since)
            is_last = is_last or count + 1 == most
        while len(self._failures) > MOST_REMEMBERED:
            self._failures.popitem(last=False)
        return is_last

    def succeeded(self, address: str, name: str) -> None:
        """Take note that somebody proved who they are."""
        pair = (_network(address), name[:_NAME_CHARACTERS])
        self._failures.pop(pair, None)
        if pair in self._proven:
            return
        self._proven[pair] = None
        while len(self._proven) > MOST_REMEMBERED:
            self._proven.popitem(last=False)

    def _wait(self, which: tuple[str, str], most: int) -> float:
        count, since = self._failures.get(which, (0, 0.0))
        return since + WINDOW_SECONDS - self._now() if count >= most else 0.0

    def _forget(self) -> None:
        """Forget what is too old to count."""
        now = self._now()
        while self._failures and now - next(iter(self._failures.values()))[1] >= WINDOW_SECONDS:
            self._failures.popitem(last=False)


def _network(address: str) -> str:
    """Return what one person has at least: of IPv6 that is a network, not an address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address or "-"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{parsed.exploded[:19]}::/64"
    return address
