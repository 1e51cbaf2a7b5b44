"""Looking at messages without receiving them: in a queue, and those that joins hold."""

from penstock.core.filters import Matcher, MessageFilter, matches
from penstock.core.messages import MessageView
from penstock.core.refusals import queue_not_found
from penstock.store.peeking import Page
from penstock.store.redis.calls import Asking
from penstock.store.redis.rows import view

_MOST = 2000


async def peek(
    calls: Asking, matcher: Matcher, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
) -> tuple[list[MessageView], int | None]:
    """Return matching messages of a queue in order of arrival, and where to go on."""
    page = Page(wanted, matcher, after, limit, _MOST)
    text = None if wanted.text is None or matcher is not matches else wanted.text.encode("utf-8", "surrogatepass")
    while True:
        most = page.chunk()
        rows = await calls.submit("look", now, queue, page.after, most)
        if rows == b"missing":
            raise queue_not_found(queue)
        for row in rows:
            if page.is_full:
                return page.found, page.after
            if text is not None and text not in row[2]:  # of the others nothing is read
                page.pass_over(row[1], len(row[2]))
                continue
            message = view(row, now)
            assert message is not None
            page.look_at(message)
        if len(rows) < most:
            return page.found, None


async def list_blocked(calls: Asking, after: str, limit: int, now: int) -> tuple[list[MessageView], str | None]:
    """Return messages that joins hold, and where Redis goes on."""
    cursor, shown = await calls.submit("list_blocked", now, after or "0", limit)
    found = [message for row in shown if (message := view(row, now)) is not None]
    return found, None if cursor == b"0" else cursor.decode()
