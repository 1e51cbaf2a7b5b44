"""Looking for messages without receiving them, a bounded part of a queue at a time.

What columns and bytes tell is asked of them, and in SQL; only what may match is shown and matched as on every store.
Messages in flight and delayed ones have an index, and are found without a look at the others.
"""

from collections.abc import Iterable
from typing import Any

from penstock.core.filters import Matcher, MessageFilter, matches
from penstock.core.messages import MessageView, State
from penstock.core.refusals import queue_not_found
from penstock.store.contract import PEEK_BUDGET
from penstock.store.peeking import Page
from penstock.store.sqlite.ids import SEQUENCE_MASK
from penstock.store.sqlite.queries import SQL
from penstock.store.sqlite.rows import view
from penstock.store.sqlite.transaction import DELAYED, HANDED_OUT, Execute, QueueState

_FIRST_CHUNK, _LARGEST_CHUNK = 50, 800
_MOST_BYTES = 32 << 20
"""About so many bytes of long bodies are looked through in one call, or a first chunk of the longest."""

_PHASES = {State.IN_FLIGHT: HANDED_OUT, State.DELAYED: DELAYED}
_NO_GROUP = 0


def find_queue(execute: Execute, name: str) -> QueueState:
    """Return a queue. Raises QueueNotFound."""
    row = execute(SQL["queue_by_name"], (name,)).fetchone()
    if row is None:
        raise queue_not_found(name)
    return QueueState(row)


def peek(
    execute: Execute, matcher: Matcher, name: str, wanted: MessageFilter, after: int, limit: int, now: int
) -> tuple[list[MessageView], int | None]:
    """Return matching messages and behind which to go on, as ``Store.peek`` does."""
    queue = find_queue(execute, name)
    low, high = queue.key_range
    page = Page(wanted, matcher, after, limit)
    start = low | min(page.after, SEQUENCE_MASK)
    timed = _timed_rows(execute, queue, wanted, start, now)
    if timed is not None:
        _fill(page, execute, name, timed, now)
        return page.found, _where_to_go_on(execute, low | page.after, high) if page.is_full else None
    conditions = _conditions(execute, queue, wanted, now)
    if matcher is not matches:
        conditions["text"] = None  # bodies are kept in other words than they were said in
    reads_bodies = wanted.text is not None or wanted.json_path is not None
    looked_at, read_bytes, chunk = 0, 0, _FIRST_CHUNK
    while not page.is_full and looked_at < PEEK_BUDGET and read_bytes < _MOST_BYTES:
        most = min(chunk, PEEK_BUDGET - looked_at)
        end, count, long_bytes = execute(SQL["chunk_end"], (start, high, most)).fetchone()
        if reads_bodies and long_bytes > _MOST_BYTES and most > _FIRST_CHUNK:
            chunk = _FIRST_CHUNK
            continue
        if count:
            _fill(page, execute, name, execute(SQL["candidates"], {**conditions, "after": start, "up_to": end}), now)
            start = end
        if count < most:
            break
        looked_at += count
        if reads_bodies and long_bytes:
            read_bytes += long_bytes
        else:
            chunk = min(2 * chunk, _LARGEST_CHUNK)
    return page.found, _where_to_go_on(execute, low | page.after if page.is_full else start, high)


def _fill(page: Page, execute: Execute, name: str, rows: Iterable[tuple[Any, ...]], now: int) -> None:
    """Put those that match on a page, until it is full."""
    for row in rows:
        if page.is_full:
            return
        if page.may_match(row[-1]):
            page.look_at(view(execute, name, row, now))


def _where_to_go_on(execute: Execute, after: int, high: int) -> int | None:
    """Return the sequence number of the message looked at last; ``None`` if there is none behind it."""
    return None if execute(SQL["oldest_sent_at"], (after, high)).fetchone() is None else after & SEQUENCE_MASK


def _timed_rows(
    execute: Execute, queue: QueueState, wanted: MessageFilter, start: int, now: int
) -> Iterable[tuple[Any, ...]] | None:
    """Return what is in flight, or delayed, in order of arrival, if that is wanted and not too much."""
    phase = None if wanted.state is None else _PHASES.get(wanted.state)
    if phase is None:
        return None
    keys = execute(SQL["timed_keys"], (queue.number, now, phase, PEEK_BUDGET + 1)).fetchall()
    if len(keys) > PEEK_BUDGET:
        return None
    return (execute(SQL["whole_message"], key).fetchone() for key in sorted(keys) if key[0] > start)


def _conditions(execute: Execute, queue: QueueState, wanted: MessageFilter, now: int) -> dict[str, Any]:
    """Return the parameters of ``candidates`` that a filter names."""
    group = None if wanted.group_id is None else execute(SQL["group_by_id"], (queue.number, wanted.group_id)).fetchone()
    return {
        "now": now,
        "is_ready": True if wanted.state is State.READY else None,
        "phase": None if wanted.state is None else _PHASES.get(wanted.state),
        "group_key": None if wanted.group_id is None else _NO_GROUP if group is None else group[0],
        "min_receive_count": wanted.min_receive_count,
        "sent_before": wanted.sent_before,
        "sent_after": wanted.sent_after,
        "attribute": _bytes(wanted.attribute),
        "text": _bytes(wanted.text),
    }


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")
