"""What the SQS edge allows: AWS's limits (strict), or wider ones for development (relaxed).

Sources: SQS developer guide, "Amazon SQS quotas"; SQS API reference, each action.
"""

from typing import Literal

from msgspec import Struct

LimitsMode = Literal["strict", "relaxed"]


class SqsOptions(Struct, frozen=True, kw_only=True):
    """How the SQS dialects behave; one value is shared by all of them.

    Attributes:
        limits: ``strict`` as AWS; ``relaxed`` without cool-downs and ceilings that only AWS needs, see ``Limits``.
        public_url: what queue URLs begin with, such as ``https://queues.example.com``; ``None``: scheme and ``Host``
            of each request.
        default_account, default_region: queues of these are called by their plain names inside.
    """

    limits: LimitsMode = "strict"
    public_url: str | None = None
    default_account: str = "000000000000"
    default_region: str = "us-east-1"


class Limits(Struct, frozen=True, kw_only=True):
    """The limits that a mode decides. Durations in seconds.

    Attributes:
        purge_rest_seconds: between two purges of a queue (API reference, ``PurgeQueue``).
        name_rest_seconds: before the name of a deleted queue may be used again (API reference, ``DeleteQueue``).
        delay_seconds: longest delay (``DelaySeconds``).
        retention_seconds: shortest retention (``MessageRetentionPeriod``).
        max_in_flight: most leases of a queue at a time; ``None`` no limit (developer guide, "Message quotas").
        wait_seconds: longest long poll (``WaitTimeSeconds``).
        total_visibility_seconds: longest lease counted from the receive, however often it is extended; ``None`` no
            limit (API reference, ``ChangeMessageVisibility``).
    """

    purge_rest_seconds: int = 60
    name_rest_seconds: int = 60
    delay_seconds: int = 900
    retention_seconds: int = 60
    max_in_flight: int | None = 120_000
    wait_seconds: int = 20
    total_visibility_seconds: int | None = 43_200


_ANY_SECONDS = 100 * 365 * 86_400
_STRICT = Limits()
_RELAXED = Limits(
    purge_rest_seconds=0,
    name_rest_seconds=0,
    delay_seconds=_ANY_SECONDS,
    retention_seconds=1,
    max_in_flight=None,
    wait_seconds=_ANY_SECONDS,
    total_visibility_seconds=None,
)


def limits_of(options: SqsOptions) -> Limits:
    """Return the limits of a mode."""
    return _STRICT if options.limits == "strict" else _RELAXED


MOST_ENTRIES = 10
"""Entries of a batch, and messages of one receive."""

LONGEST_VISIBILITY_SECONDS = 43_200
LARGEST_MESSAGE_BYTES = 1_048_576
"""Of a message by default, and of a batch as a whole always."""

SMALLEST_MESSAGE_BYTES = 1024
LONGEST_RETENTION_SECONDS = 1_209_600
MOST_MESSAGE_ATTRIBUTES = 10
MOST_LISTED = 1000
MOST_TAGS = 50
MOST_MOVES_A_SECOND = 500
MOST_MOVES_LISTED = 10
