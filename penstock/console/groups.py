"""Message groups with what holds them up: the message or job that the others of its key wait behind."""

from typing import Any

from msgspec import Struct

from penstock.console.jobs import JOB_PREFIX, Summary, summarise
from penstock.console.messages import SEARCH_MS, answered
from penstock.console.walking import Walk
from penstock.core.clock import Clock
from penstock.core.filters import MessageFilter
from penstock.core.operations import DescribeQueue, GetRecords, ListGroups, Peek
from penstock.core.queues import GroupView
from penstock.core.rights import Right, Rights

MOST_LISTED = 200


class WantedGroups(Struct, frozen=True):
    """Which groups of a queue: those behind ``after``, by id.

    Attributes:
        queue: which.
        kind: ``parked``: only those; ``blocked``: only those whose messages wait behind one of theirs; empty: all.
        after, limit: which part of them.
    """

    queue: str
    kind: str = ""
    after: str = ""
    limit: int = 100


def list_groups(asked: WantedGroups, clock: Clock, rights: Rights) -> Walk:
    """Answer a page of groups: ``groups``, each with the ``head`` that the others wait behind where that is known, and
    ``next_after``, where there may be more. Of jobs it tells more to those who may see those of all queues."""
    until = clock.now_ms() + SEARCH_MS
    is_strict = (yield DescribeQueue(asked.queue)).queue.settings.group_order == "strict"
    limit = max(1, min(MOST_LISTED, asked.limit))
    found: list[GroupView] = []
    after: str | None = asked.after
    while after is not None and len(found) < limit:
        page = yield ListGroups(asked.queue, after, limit, only_parked=asked.kind == "parked")
        for group in page.groups:
            after = group.group_id
            if asked.kind != "blocked" or (is_strict and _is_blocked(group, clock.now_ms())):
                found.append(group)
                if len(found) == limit:
                    break
        else:
            after = page.next_after
        if clock.now_ms() >= until:
            break
    groups = []
    for group in found:
        head: Summary | None = None
        is_held_up = group.is_parked or (is_strict and _is_blocked(group, clock.now_ms()))
        if is_held_up and clock.now_ms() < until:
            head = yield from _head(asked.queue, group, rights.allows(Right.VIEW, ""))
        groups.append({"group": group, "head": head})
    return answered({"groups": groups, "next_after": after})


def _is_blocked(group: GroupView, now: int) -> bool:
    return not group.is_parked and group.waiting > 0 and (group.ready_at is None or group.ready_at > now)


def _head(queue: str, group: GroupView, may_see_records: bool) -> Any:
    """Return the first message of a group, as far as one look finds it, with its job's record."""
    messages = (yield Peek(queue, MessageFilter(group_id=group.group_id), limit=1)).messages
    if not messages:
        return None
    kept = None
    if may_see_records:
        (kept,) = (yield GetRecords((JOB_PREFIX + messages[0].message_id,))).records
    return summarise(messages[0].message_id, messages[0], kept)
