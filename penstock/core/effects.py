"""What may happen together with a settlement, all of it or none, if its guards hold: records forgotten and kept, sends,
joins opened and arrived at."""

from collections.abc import Mapping

from msgspec import Struct

from penstock.core.messages import Draft


class FollowUp(Struct, frozen=True):
    """A message to send to a queue as part of something else."""

    queue: str
    message: Draft


class Record(Struct, frozen=True, omit_defaults=True):
    """A small value kept under a key until it expires: a result, a heartbeat, a mark that a schedule has run.

    Attributes:
        key: any text; a put replaces what was there.
        value: bytes the store does not look into.
        tags: words to find it by.
        expires_at: instant in ms since the epoch from which it is gone; ``None`` for ever.
        only_if_absent: keep what is there already. What a put answered tells who came first.
    """

    key: str
    value: bytes
    tags: Mapping[str, str] = {}
    expires_at: int | None = None
    only_if_absent: bool = False


class Join(Struct, frozen=True):
    """A counter in the store that sends its message when the last part has arrived.

    Attributes:
        join_id: any text, unique while the join is open.
        parts: how many different parts must arrive.
        follow_up: the message sent in the very step in which the last part arrives. Until then it is ``BLOCKED``.
        expires_at: an incomplete join is forgotten then (ms since the epoch); ``None`` never.
    """

    join_id: str
    parts: int
    follow_up: FollowUp
    expires_at: int | None = None


class Arrival(Struct, frozen=True):
    """One part has come to a join. The same part arriving twice counts once."""

    join_id: str
    part_id: str


class Guard(Struct, frozen=True):
    """A condition: nothing happens (``GuardFailed``) unless this is what is kept when the step begins.

    Attributes:
        key: of a record.
        value: exactly what its unexpired record holds; ``None``: there is none.
    """

    key: str
    value: bytes | None


class Effects(Struct, frozen=True, omit_defaults=True):
    """Things that happen in one atomic step, in this order: guards looked at, records forgotten, sends, records kept,
    joins opened, arrivals. Up to 10,000 of each.

    Attributes:
        guards: what must hold, or nothing happens.
        forgets: keys of records to forget; an unknown one is no error.
    """

    guards: tuple[Guard, ...] = ()
    forgets: tuple[str, ...] = ()
    sends: tuple[FollowUp, ...] = ()
    records: tuple[Record, ...] = ()
    joins: tuple[Join, ...] = ()
    arrivals: tuple[Arrival, ...] = ()


NO_EFFECTS = Effects()
