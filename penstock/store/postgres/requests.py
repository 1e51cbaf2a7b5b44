"""What callers ask for while a transaction is under way, to be done together in the next one."""

import asyncio
from collections.abc import Sequence
from typing import Any

from penstock.core.effects import Effects
from penstock.core.messages import Draft
from penstock.core.operations import ApplyReply, SendOutcome
from penstock.core.settlements import Settlement, SettleOutcome
from penstock.store.contract import Received


class SendRequest:
    """Keep messages."""

    __slots__ = ("drafts", "future", "now", "queue")

    def __init__(
        self, queue: str, drafts: Sequence[Draft], now: int, future: "asyncio.Future[tuple[SendOutcome, ...]]"
    ) -> None:
        self.queue, self.drafts, self.now, self.future = queue, drafts, now, future


class ReceiveRequest:
    """Lease messages."""

    __slots__ = ("attempt_id", "following", "future", "now", "owner", "queue", "timeout_ms", "tokens")

    def __init__(
        self,
        queue: str,
        tokens: Sequence[bytes],
        timeout_ms: int | None,
        now: int,
        owner: str | None,
        attempt_id: str | None,
        following: str | None,
        future: "asyncio.Future[Received]",
    ) -> None:
        self.queue, self.tokens, self.timeout_ms, self.now = queue, tokens, timeout_ms, now
        self.owner, self.attempt_id, self.following, self.future = owner, attempt_id, following, future


class SettleRequest:
    """End deliveries."""

    __slots__ = ("future", "now", "settlements")

    def __init__(
        self, settlements: Sequence[Settlement], now: int, future: "asyncio.Future[tuple[SettleOutcome, ...]]"
    ) -> None:
        self.settlements, self.now, self.future = settlements, now, future


class ApplyRequest:
    """Let effects happen."""

    __slots__ = ("effects", "future", "now")

    def __init__(self, effects: Effects, now: int, future: "asyncio.Future[ApplyReply]") -> None:
        self.effects, self.now, self.future = effects, now, future


Request = SendRequest | ReceiveRequest | SettleRequest | ApplyRequest


def size_of_request(request: Request) -> int:
    """Return about how many messages a request is about."""
    if type(request) is SendRequest:
        return len(request.drafts)
    if type(request) is SettleRequest:
        return sum(1 + len(each.also) for each in request.settlements)
    return 1


def cancelled(request: Request) -> bool:
    """Return whether nobody waits for it any more."""
    future: asyncio.Future[Any] = request.future
    return future.cancelled()
