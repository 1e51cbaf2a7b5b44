"""The audit log: who changed what, when, from where, and with which result. Kept by servers that ask who calls.

Administrative operations are noted whoever asks, all other changes only where a person made them in the console; sends
and receives of programs never. No body, value or secret is in it. It is bounded: by age, by number, and what is refused
again and again is noted now and then.
"""

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from penstock.broker.contract import Broker
from penstock.core.effects import Record
from penstock.core.errors import PenstockError
from penstock.core.operations import (
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DeleteRecords,
    FindRecords,
    Operation,
    PurgeQueue,
    PutRecords,
    Reschedule,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settlement
from penstock.server.browsers import LOOKS
from penstock.server.directory.shapes import PREFIX
from penstock.wire.http import Request

log = logging.getLogger("penstock.audit")

ENTRIES = PREFIX + "audit/"
ADMINISTRATIVE = frozenset(
    {
        Cancel,
        CancelMove,
        CreateQueue,
        DeleteMessages,
        DeleteQueue,
        PurgeQueue,
        Reschedule,
        StartMove,
        UpdateGroup,
        UpdateQueue,
    }
)
KEPT_MS = 90 * 86_400_000
MOST_KEPT = 10_000
MOST_REFUSALS = 20
"""So many refusals of somebody are noted in a minute."""

_TRIMMED_EVERY = 200
_PAGE = 500
_MOST_PAGES = 20
_LONGEST = 200
_encode = msgspec.json.Encoder().encode


class Entry(Struct, frozen=True, omit_defaults=True):
    """One thing that was done, or refused.

    Attributes:
        at: when (ms since the epoch).
        who: name of the key or user.
        action: name of the operation, or what was done with a key, a user or a login.
        target: queue, key or user.
        detail: what of it, in few words.
        result: ``done``, or the code of the error.
        source_ip: address of the caller.
        account: theirs.
        is_login: they were logged in to the console.
        request_id: as in the server's log.
    """

    at: int
    who: str
    action: str
    target: str = ""
    detail: str = ""
    result: str = "done"
    source_ip: str = ""
    account: str = ""
    is_login: bool = False
    request_id: str = ""


class AuditPage(Struct, frozen=True, omit_defaults=True):
    """Entries, the latest first; ``next_after`` goes on behind them."""

    entries: tuple[Entry, ...]
    next_after: str | None = None


_read = msgspec.json.Decoder(Entry).decode


def is_audited(request: Request, operation: Operation[Any]) -> bool:
    """Return whether an operation belongs into the log."""
    kind = type(operation)
    return kind in ADMINISTRATIVE or (bool(request.session) and kind not in LOOKS)


class Audit:
    """Writes and reads the log.

    Args:
        broker: keeps the entries.
        now_ms: the time.
    """

    def __init__(self, broker: Broker, now_ms: Callable[[], int]) -> None:
        self._broker = broker
        self._now_ms = now_ms
        self._written = 0
        self._refusals: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    async def performed(self, request: Request, operation: Operation[Any], reply: Any) -> None:
        """Note an operation that was performed."""
        if isinstance(operation, CreateQueue) and not reply.was_created:
            return  # the queue was there, as wanted
        await self.did(request, type(operation).__name__, _target(operation), _detail(operation))

    async def failed(self, request: Request, operation: Operation[Any], error: PenstockError) -> None:
        """Note an operation that was refused or failed."""
        if is_audited(request, operation):
            await self.did(request, type(operation).__name__, _target(operation), _detail(operation), error.code)

    async def did(
        self, request: Request, action: str, target: str = "", detail: str = "", result: str = "done", who: str = ""
    ) -> None:
        """Note what a request did.

        Args:
            request: whose.
            action, target, detail, result: see ``Entry``.
            who: instead of the request's user.
        """
        who = who or request.user or "anybody"
        if result != "done" and self._is_too_often(request.source_ip, who):
            return
        await self.note(
            Entry(
                at=self._now_ms(),
                who=who[:_LONGEST],
                action=action,
                target=target[:_LONGEST],
                detail=detail[:_LONGEST],
                result=result,
                source_ip=request.source_ip,
                account=request.account,
                is_login=bool(request.session),
                request_id=request.request_id,
            )
        )

    async def note(self, entry: Entry) -> None:
        """Write an entry to the log of the process and to the store. A store that fails is told of and nothing more:
        what is noted has happened."""
        said = {name: getattr(entry, name) for name in Entry.__struct_fields__ if name != "at"}
        line = " ".join(f"{name}={json.dumps(value)}" for name, value in said.items() if value != "")
        log.info("%s", line, extra={"fields": {"audit": said}})
        self._written += 1
        # within a millisecond in the order of their coming, and apart from those of other processes
        key = f"{ENTRIES}{entry.at:013d}-{self._written:08x}{os.urandom(4).hex()}"
        try:
            await self._broker.perform(PutRecords((Record(key, _encode(entry), expires_at=entry.at + KEPT_MS),)))
            if self._written % _TRIMMED_EVERY == 0:
                await self._trim()
        except PenstockError as error:
            log.error("the audit log cannot be written: %s", error.code)

    async def read(self, *, after: str = "", limit: int = 100, who: str = "", target: str = "") -> AuditPage:
        """Return entries, the latest first.

        Args:
            after: the ``next_after`` of the page before.
            limit: at most so many, 1 to 500.
            who, target: only with these.
        """
        limit = max(1, min(_PAGE, limit))
        found: list[Entry] = []
        for _ in range(_MOST_PAGES):
            start = ENTRIES + after if after else ""
            page = await self._broker.perform(FindRecords(ENTRIES, after=start, limit=_PAGE, is_descending=True))
            for record in page.records:
                try:
                    entry = _read(record.value)
                except msgspec.MsgspecError:
                    continue
                if who in ("", entry.who) and target in ("", entry.target):
                    found.append(entry)
                    if len(found) == limit:
                        return AuditPage(tuple(found), record.key.removeprefix(ENTRIES))
            if page.next_after is None:
                return AuditPage(tuple(found))
            after = page.next_after.removeprefix(ENTRIES)
        return AuditPage(tuple(found), after)

    async def _trim(self) -> None:
        """Forget what is beyond the latest ``MOST_KEPT``."""
        after, seen = "", 0
        while True:
            page = await self._broker.perform(FindRecords(ENTRIES, after=after, limit=_PAGE, is_descending=True))
            spare = max(0, MOST_KEPT - seen)
            if page.records[spare:]:
                await self._broker.perform(DeleteRecords(tuple(each.key for each in page.records[spare:])))
            seen += len(page.records)
            if page.next_after is None:
                return
            after = page.next_after

    def _is_too_often(self, address: str, who: str) -> bool:
        minute = self._now_ms() // 60_000
        count, since = self._refusals.pop((address, who), (0, minute))
        count = count + 1 if since == minute else 1
        self._refusals[address, who] = (count, minute)
        while len(self._refusals) > _PAGE:
            self._refusals.popitem(last=False)
        return count > MOST_REFUSALS


def _target(operation: Operation[Any]) -> str:
    for name in ("queue", "source"):
        named = getattr(operation, name, None)
        if named is not None:
            return str(named)
    settlements: tuple[Settlement, ...] = getattr(operation, "settlements", ())
    return settlements[0].queue if settlements else ""


def _detail(operation: Operation[Any]) -> str:
    """Return in few words what an operation is about; never what a message or a record says."""
    said = []
    settings = getattr(operation, "settings", None)
    if isinstance(settings, QueueChanges):
        said += [name for name in QueueChanges.__struct_fields__ if getattr(settings, name) is not UNSET]
    for name in ("group_id", "move_id"):
        if hasattr(operation, name):
            said.append(f"{name} {getattr(operation, name)}")
    if isinstance(operation, StartMove):
        said.append(f"to {operation.target or 'where each came from'}")
    for name in ("message_ids", "keys"):
        listed = getattr(operation, name, ())
        if listed:
            said.append(", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else ""))
    for name in ("messages", "settlements", "records"):
        listed = getattr(operation, name, ())
        if listed:
            said.append(f"{len(listed)} {name}")
    return ", ".join(said)
