"""Messages in lists, with the start of their bodies only: a page of large ones must not weigh megabytes."""

from typing import Any

import msgspec
from msgspec import Struct, structs

from penstock.console.walking import Walk
from penstock.core.clock import Clock
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView, State
from penstock.core.operations import Peek
from penstock.wire.http import Response

PREVIEW_CHARACTERS = 300
COUNTED_AT_ONCE = 1000
MOST_LISTED = 200
MOST_PAGES = 20
SEARCH_MS = 80
"""A search asks the store for no more after so long, or so many pages of some 10,000 messages each; it says how far it
got, and whoever asks goes on from there."""

_encode = msgspec.json.Encoder().encode
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class Wanted(Struct, frozen=True):
    """Which messages of a queue; conditions as in ``MessageFilter``."""

    queue: str
    state: State | None = None
    text: str | None = None
    json_path: str | None = None
    json_value: str | None = None
    attribute: str | None = None
    attribute_value: str | None = None
    group_id: str | None = None
    min_receive_count: int | None = None
    sent_before: int | None = None
    sent_after: int | None = None
    after: int = 0
    limit: int = 50

    def filter(self) -> MessageFilter:
        """Return the conditions."""
        return MessageFilter(**{name: getattr(self, name) for name in Wanted.__struct_fields__[1:-2]})


def answered(value: Any) -> Response:
    """Return a JSON response that nobody keeps."""
    return Response(200, _HEADERS, _encode(value))


def list_messages(asked: Wanted, clock: Clock) -> Walk:
    """Answer a page of messages: ``messages`` (each with ``characters``, the length of its body) and ``next_after``."""
    found: list[dict[str, Any]] = []
    limit = max(1, min(MOST_LISTED, asked.limit))
    after: int | None = asked.after
    until = clock.now_ms() + SEARCH_MS
    for _ in range(MOST_PAGES):  # a page may be empty because few match
        page = yield Peek(asked.queue, asked.filter(), after or 0, limit - len(found))
        found += map(short, page.messages)
        after = page.next_after
        if after is None or len(found) >= limit or clock.now_ms() >= until:
            break
    return answered({"messages": found, "next_after": after})


def count_messages(asked: Wanted, clock: Clock) -> Walk:
    """Answer how many match, ``count``, from ``after`` on; ``next_after`` where there is more to look through."""
    count = 0
    after: int | None = asked.after
    until = clock.now_ms() + SEARCH_MS
    for _ in range(MOST_PAGES):
        page = yield Peek(asked.queue, asked.filter(), after or 0, COUNTED_AT_ONCE)
        count += len(page.messages)
        after = page.next_after
        if after is None or clock.now_ms() >= until:
            break
    return answered({"count": count, "next_after": after})


def short(message: MessageView) -> dict[str, Any]:
    """Return a message with the start of its body."""
    return {
        "characters": len(message.body),
        "message": structs.replace(message, body=message.body[:PREVIEW_CHARACTERS]),
    }
