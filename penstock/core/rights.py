"""Roles and rights: what the holder of a key or a login may do with which queues of their account.

A *right* is what an operation asks for, a *role* is a set of rights, a *grant* gives a role for the queues whose names
match a pattern. Without a grant nothing is allowed.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct

from penstock.core.partitions import queue_of

ALL_QUEUES = "*"
_PATTERN = re.compile(r"[A-Za-z0-9_.*?-]{1,128}")
_MOST_REMEMBERED = 10_000


class Right(StrEnum):
    """What an operation asks of who wants it, for one queue or for all."""

    DESCRIBE = "describe"
    VIEW = "view"
    SEND = "send"
    RECEIVE = "receive"
    OPERATE = "operate"
    ADMIN = "admin"


ROLES: dict[str, frozenset[Right]] = {
    "view": frozenset({Right.DESCRIBE, Right.VIEW}),
    "send": frozenset({Right.DESCRIBE, Right.SEND}),
    "receive": frozenset({Right.DESCRIBE, Right.RECEIVE}),
    "operate": frozenset(Right) - {Right.ADMIN},
    "admin": frozenset(Right),
}
"""``view`` looks; ``send`` and ``receive`` are for programs that do only that; ``operate`` does all that is done with
messages, and pauses and purges; ``admin`` also makes, changes and deletes queues."""


class Grant(Struct, frozen=True):
    """A role for the queues whose names match.

    Attributes:
        role: one of ``ROLES``.
        pattern: of names without region and account; ``*`` stands for any characters, ``?`` for one.
    """

    role: str
    pattern: str = ALL_QUEUES

    def __str__(self) -> str:
        return f"{self.role}:{self.pattern}"


def read_grant(text: str) -> Grant:
    """Return the grant that ``role`` or ``role:pattern`` means.

    Raises:
        ValueError: it means none; the words say why.
    """
    role, colon, pattern = text.partition(":")
    if role not in ROLES:
        raise ValueError(f"{role[:40]!r} is no role; there are {', '.join(ROLES)}")
    if not colon:
        return Grant(role)
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern[:128]!r} matches no queue: a pattern is made of the letters of names, * and ?")
    return Grant(role, pattern)


class Rights:
    """What some grants add up to.

    Args:
        grants: any number; none: nothing is allowed.

    Attributes:
        grants: as given.
        is_full: everything is allowed.
    """

    __slots__ = ("_known", "grants", "is_full")

    def __init__(self, grants: Iterable[Grant]) -> None:
        self.grants = tuple(grants)
        self.is_full = Grant("admin") in self.grants
        self._known: dict[tuple[Right, str], bool] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rights) and self.grants == other.grants

    def __hash__(self) -> int:
        return hash(self.grants)

    def __repr__(self) -> str:
        return f"Rights({', '.join(map(str, self.grants))})"

    def allows(self, right: Right, queue: str) -> bool:
        """Return whether a right is given for a queue.

        Args:
            right: which.
            queue: its name, with or without region and account, or that of a partition; empty: for all queues.
        """
        if self.is_full:
            return True
        known = self._known.get((right, queue))
        if known is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            name = queue_of(queue).rpartition("/")[2]
            known = self._known[right, queue] = any(
                right in ROLES[each.role] and (fnmatchcase(name, each.pattern) if name else each.pattern == ALL_QUEUES)
                for each in self.grants
            )
        return known

    def has(self, right: Right) -> bool:
        """Return whether a right is given for any queue at all."""
        return any(right in ROLES[each.role] for each in self.grants)


FULL = Rights((Grant("admin"),))
"""Everything: the rights of who need not prove anything, and of keys that name no grants."""
