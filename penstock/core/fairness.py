"""Which tenants of a fair queue are noisy (SQS developer guide, "How fair queues work").

A tenant is a message group of a queue in fair order. It turns noisy when it holds more than 10 % of the queue's leases
and at least 30, or when it holds a lease and its share of the recent processing time exceeds 10 %. It stays so until
its backlog has drained or nothing was sent to it for five minutes. Quiet tenants are served first, what has been
receivable longest first; among noisy ones the one with the fewest leases. Only the order changes. A message without a
group is a tenant of its own, and quiet.
"""

from msgspec import Struct

NOISY_MIN_IN_FLIGHT = 30
QUIET_AFTER_MS = 300_000
_SHARE = 10
_PERIOD_MS = 60_000


class BusyTime(Struct, frozen=True, gc=False):
    """Processing time of the present minute and the one before, in ms. Integers, so that every store agrees."""

    period: int = 0
    current_ms: int = 0
    previous_ms: int = 0

    def at(self, now: int) -> "BusyTime":
        """Return the same as seen at ``now``: minutes gone by are forgotten."""
        period = now // _PERIOD_MS
        if period == self.period:
            return self
        return BusyTime(period, 0, self.current_ms if period == self.period + 1 else 0)

    def plus(self, busy_ms: int, now: int) -> "BusyTime":
        """Return it with the processing time of a delivery that was settled at ``now`` added."""
        seen = self.at(now)
        return BusyTime(seen.period, seen.current_ms + busy_ms, seen.previous_ms)

    @property
    def total_ms(self) -> int:
        """Both minutes together."""
        return self.current_ms + self.previous_ms


def is_noisy(
    *,
    was_noisy: bool,
    waiting: int,
    last_sent_at: int,
    in_flight: int,
    queue_in_flight: int,
    busy: BusyTime,
    queue_busy: BusyTime,
    now: int,
) -> bool:
    """Return whether a tenant counts as noisy at ``now``. ``waiting``: its messages that are not in flight."""
    if was_noisy and waiting > 0 and now - last_sent_at < QUIET_AFTER_MS:
        return True
    if in_flight >= NOISY_MIN_IN_FLIGHT and in_flight * _SHARE > queue_in_flight:
        return True
    share = busy.at(now).total_ms
    return share > 0 and share * _SHARE > queue_busy.at(now).total_ms and in_flight > 0
