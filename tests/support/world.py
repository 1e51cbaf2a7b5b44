"""What a conformance test holds: a broker, the store behind it, the clock, and short ways to say the usual things."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.core.effects import Effects
from penstock.core.filters import MessageFilter
from penstock.core.messages import Delivery, Draft, MessageView
from penstock.core.operations import (
    Apply,
    ApplyReply,
    Cancel,
    CreateQueue,
    DescribeQueue,
    Find,
    IdOutcome,
    ListGroups,
    Peek,
    PurgeQueue,
    Receive,
    ReceiveReply,
    ReleaseLeases,
    Reschedule,
    Send,
    SendOutcome,
    Sent,
    Settle,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.queues import GroupView, QueueChanges, QueueCounts, QueueDescription
from penstock.core.settlements import DELETE, Action, ChangeVisibility, Settled, Settlement, SettleOutcome
from penstock.store.contract import Store
from penstock.testing import ManualClock
from tests.support.entropy import CountingEntropy
from tests.support.turns import PATIENCE_SECONDS, until


@dataclass
class World:
    """One implementation under test.

    Attributes:
        broker: what the test speaks to, in this process or behind HTTP.
        local: the broker in front of the store; the same as ``broker`` unless that is behind HTTP.
        store: for upkeep, which no operation asks for.
        clock: stands still until the test moves it.
        entropy: what ``local`` mints from; upkeep mints the ids of moved messages from it.
    """

    broker: Broker
    local: LocalBroker
    store: Store
    clock: ManualClock
    entropy: CountingEntropy
    _polls: list[asyncio.Task[ReceiveReply]] = field(default_factory=list)

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    async def perform(self, operation: Any) -> Any:
        return await self.broker.perform(operation)

    # -- queues ------------------------------------------------------------------------------------------------------

    async def create(self, queue: str, **settings: Any) -> QueueDescription:
        return (await self.perform(CreateQueue(queue, QueueChanges(**settings)))).queue

    async def update(self, queue: str, **settings: Any) -> QueueDescription:
        return (await self.perform(UpdateQueue(queue, QueueChanges(**settings)))).queue

    async def describe(self, queue: str) -> QueueDescription:
        return (await self.perform(DescribeQueue(queue))).queue

    async def counts(self, queue: str) -> QueueCounts:
        return (await self.describe(queue)).counts

    async def purge(self, queue: str) -> int:
        return (await self.perform(PurgeQueue(queue))).purged_count

    async def groups(self, queue: str) -> dict[str, GroupView]:
        return {view.group_id: view for view in (await self.perform(ListGroups(queue))).groups}

    async def park(self, queue: str, group_id: str, *, is_parked: bool = True) -> None:
        await self.perform(UpdateGroup(queue, group_id, is_parked))

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, *bodies: str, **fields_of_all: Any) -> tuple[Sent, ...]:
        """Send messages with the same fields; all must be accepted."""
        outcomes = await self.send_drafts(queue, *(Draft(body, **fields_of_all) for body in bodies))
        assert all(isinstance(outcome, Sent) for outcome in outcomes), outcomes
        return outcomes  # type: ignore[return-value]

    async def send_drafts(self, queue: str, *drafts: Draft) -> tuple[SendOutcome, ...]:
        return (await self.perform(Send(queue, drafts))).outcomes

    async def receive(self, queue: str, max_messages: int = 10, **details: Any) -> tuple[Delivery, ...]:
        return (await self.perform(Receive(queue, max_messages, **{"wait_seconds": 0, **details}))).deliveries

    async def receive_bodies(self, queue: str, max_messages: int = 10, **details: Any) -> list[str]:
        return bodies(await self.receive(queue, max_messages, **details))

    async def take(self, queue: str, **details: Any) -> Delivery:
        """Receive the one message there is to have."""
        (delivery,) = await self.receive(queue, 1, **details)
        return delivery

    async def settle(self, queue: str, held: Delivery | str, action: Action = DELETE, **details: Any) -> SettleOutcome:
        handle = held if isinstance(held, str) else held.receipt_handle
        (outcome,) = (await self.perform(Settle((Settlement(queue, handle, action, **details),)))).outcomes
        return outcome

    async def delete(self, queue: str, *held: Delivery) -> list[Settled]:
        settlements = tuple(Settlement(queue, each.receipt_handle) for each in held)
        return [outcome.result for outcome in (await self.perform(Settle(settlements))).outcomes]

    async def change_visibility(self, queue: str, held: Delivery, seconds: float) -> Settled:
        return (await self.settle(queue, held, ChangeVisibility(seconds))).result

    async def release(self, owner: str) -> int:
        return (await self.perform(ReleaseLeases(owner))).released_count

    async def apply(self, **effects: Any) -> ApplyReply:
        return await self.perform(Apply(Effects(**effects)))

    async def cancel(self, *message_ids: str) -> tuple[IdOutcome, ...]:
        return (await self.perform(Cancel(message_ids))).outcomes

    async def reschedule(self, deliver_at: int, *message_ids: str) -> tuple[IdOutcome, ...]:
        return (await self.perform(Reschedule(message_ids, deliver_at))).outcomes

    async def peek(self, queue: str, **conditions: Any) -> tuple[MessageView, ...]:
        return (await self.perform(Peek(queue, MessageFilter(**conditions), limit=1000))).messages

    async def find(self, message_id: str) -> MessageView | None:
        return (await self.perform(Find((message_id,)))).messages[0]

    # -- time and upkeep ---------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def sweep(self, limit: int = 100_000) -> int:
        return await self.store.sweep(limit, self.now)

    async def step_moves(self, limit: int = 100) -> int | None:
        ids = [self.entropy.message_id(self.now) for _ in range(limit)]
        return await self.store.step_moves(ids, self.now)

    # -- long polls --------------------------------------------------------------------------------------------------

    async def long_poll(self, queue: str, max_messages: int = 1, **details: Any) -> "asyncio.Task[ReceiveReply]":
        """Begin a long poll and return when it waits (or has its reply)."""
        operation = Receive(queue, max_messages, **{"wait_seconds": 20, **details})
        task = asyncio.ensure_future(self.broker.perform(operation))
        self._polls.append(task)
        await self.settled()
        return task

    async def settled(self) -> None:
        """Let the loop work until every long poll of this world waits or has ended."""

        def all_wait() -> bool:
            return self.local.waiting_count == sum(not task.done() for task in self._polls)

        await until(all_wait, f"{self.local.waiting_count} of {len(self._polls)} long polls wait")

    async def reply(self, poll: "asyncio.Task[ReceiveReply]") -> list[str]:
        """Return the bodies a long poll ends with."""
        return bodies((await asyncio.wait_for(poll, PATIENCE_SECONDS)).deliveries)

    async def still_waits(self, poll: "asyncio.Task[ReceiveReply]", queue: str) -> bool:
        """Return whether a long poll goes on waiting, once everything under way has settled."""
        # two whole turns through store and wire: a wake-up that was under way has arrived and has been looked at
        await self.describe(queue)
        await self.settled()
        await self.describe(queue)
        await self.settled()
        return not poll.done()

    async def aclose(self) -> None:
        for task in self._polls:
            task.cancel()
        await asyncio.gather(*self._polls, return_exceptions=True)


def bodies(messages: Any) -> list[str]:
    """Return the bodies of messages or deliveries, in order."""
    return [message.body for message in messages]
