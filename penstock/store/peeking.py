"""A page of messages as it is looked through: what is on it, when it is full, and how much to fetch for it at once."""

from penstock.core.filters import Matcher, MessageFilter, body_test, matches
from penstock.core.messages import MessageView, size_of
from penstock.store.contract import PEEK_BUDGET, PEEK_BYTES

_FIRST_CHUNK = 20
_MOST_AT_ONCE = 500
_BYTES_AT_ONCE = 1 << 20


class Page:
    """A page that messages are put on which match.

    Args:
        wanted: what they must match.
        matches: judges that.
        after: the sequence number after which it begins.
        limit: how many messages it holds.
        budget: how many are looked at for it.

    Attributes:
        found: what is on it.
        after: the sequence number of the message that was looked at last.
    """

    def __init__(
        self, wanted: MessageFilter, matcher: Matcher, after: int, limit: int, budget: int = PEEK_BUDGET
    ) -> None:
        self.found: list[MessageView] = []
        self.after = max(after, 0)
        self._wanted = wanted
        self._matches = matcher
        # another matcher looks at what was said, which is kept in other words
        self._test = body_test(wanted) if matcher is matches else None
        self._limit = limit
        self._budget = budget
        self._takes_all = wanted == MessageFilter()
        self._looked_at = 0
        self._looked_at_bytes = 0
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether no further message may be looked at."""
        return len(self.found) == self._limit or self._looked_at == self._budget or self._bytes >= PEEK_BYTES

    def may_match(self, body: bytes | None) -> bool:
        """Return whether a message may match, as far as its body as it is kept tells; ``None``: it is not known."""
        return self._test is None or body is None or self._test(body)

    def look_at(self, message: MessageView) -> None:
        """Put a message on it if it matches."""
        size = size_of(message.body, message.attributes)
        if self._matches(self._wanted, message):
            self.found.append(message)
            self._bytes += size
        self.pass_over(message.sequence_number, size)

    def pass_over(self, sequence_number: int, size: int) -> None:
        """Go on behind a message of so many bytes."""
        self.after = sequence_number
        self._looked_at += 1
        self._looked_at_bytes += size

    def chunk(self) -> int:
        """Return how many messages to fetch next: about as many bytes at once as one large message has, and one message
        more than can be put on the page, which tells whether there are more."""
        most = self._budget - self._looked_at + 1
        if self._takes_all:
            most = min(most, self._limit - len(self.found) + 1)
        if not self._looked_at:
            return min(most, _FIRST_CHUNK)
        return max(1, min(most, _MOST_AT_ONCE, _BYTES_AT_ONCE * self._looked_at // max(self._looked_at_bytes, 1)))
