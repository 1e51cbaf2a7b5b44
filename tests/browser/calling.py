"""Calling a server's REST API from tests that are not async."""

import json
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen


class Rest:
    """The REST API of a server.

    Args:
        url: of the server.
        key: ``<key id>:<secret>``, where it asks for one.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, self._headers, method=method), timeout=30) as answer:
            return json.load(answer)

    def create(self, queue: str, **settings: Any) -> None:
        """Make a queue."""
        self("POST", "/v1/queues", {"queue": queue, "settings": settings})

    def send(self, queue: str, *messages: dict[str, Any] | str) -> list[str]:
        """Send messages and return their ids."""
        drafts = [{"body": each} if isinstance(each, str) else each for each in messages]
        outcomes = self("POST", f"/v1/queues/{quote(queue, safe='')}/messages", {"messages": drafts})["outcomes"]
        assert all(each["outcome"] == "sent" for each in outcomes), outcomes
        return [each["message_id"] for each in outcomes]

    def receive(self, queue: str, count: int = 1, **more: Any) -> list[dict[str, Any]]:
        """Receive messages."""
        found = self("POST", f"/v1/queues/{queue}/receive", {"max_messages": count, **more})["deliveries"]
        return list(found)

    def counts(self, queue: str) -> dict[str, int]:
        """Return how many messages are in each state."""
        return dict(self("GET", f"/v1/queues/{queue}")["queue"]["counts"])
