"""Looking at messages without receiving them: in a queue, and those that joins hold."""

from penstock.core.filters import Matcher, MessageFilter
from penstock.core.messages import MessageView
from penstock.core.refusals import queue_not_found
from penstock.store.contract import PEEK_BUDGET
from penstock.store.redis.calls import Calls
from penstock.store.redis.rows import view

_CHUNK = 200


async def peek(
    calls: Calls, matches: Matcher, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
) -> tuple[list[MessageView], int | None]:
    """Return matching messages of a queue in order of arrival, and where to go on."""
    found: list[MessageView] = []
    looked_at = 0
    after = max(after, 0)
    while True:
        rows = await calls.submit("look", now, queue, after, _CHUNK)
        if rows == b"missing":
            raise queue_not_found(queue)
        for row in rows:
            if looked_at == PEEK_BUDGET or len(found) == limit:
                return found, after
            message = view(row, now)
            assert message is not None
            if matches(wanted, message):
                found.append(message)
            after, looked_at = message.sequence_number, looked_at + 1
        if len(rows) < _CHUNK:
            return found, None


async def list_blocked(calls: Calls, after: str, limit: int, now: int) -> tuple[list[MessageView], str | None]:
    """Return messages that joins hold, and where Redis goes on."""
    cursor, shown = await calls.submit("list_blocked", now, after or "0", limit)
    found = [message for row in shown if (message := view(row, now)) is not None]
    return found, None if cursor == b"0" else cursor.decode()
