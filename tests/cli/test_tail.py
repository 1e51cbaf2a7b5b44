"""``penstock tail``: what happens is told as it happens, and nothing is received for it."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Sequence

import pytest

from penstock.broker.local import LocalBroker
from penstock.cli.tail import line
from penstock.cli.tail_feed import Happening, from_history, from_looking
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Receive, Reschedule, Send, Settle
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.settlements import DELETE, Action, ChangeVisibility, DeadLetter, GiveBack, Settlement
from penstock.store.memory import MemoryStore
from penstock.testing.clock import ManualClock
from tests.cli.test_commands import Terminal, _elsewhere, terminal
from tests.cli.test_whole import COMMAND, ROOT

__all__ = ["_elsewhere", "terminal"]


class Scene:
    """A queue, and what is seen of it."""

    def __init__(self, history: str) -> None:
        self.clock = ManualClock()
        self.broker = LocalBroker(MemoryStore(), self.clock)
        self._history = history

    async def begin(self) -> None:
        await self.broker.perform(CreateQueue("dead"))
        settings = QueueChanges(history=self._history, redrive=RedrivePolicy("dead", 9))  # type: ignore[arg-type]
        await self.broker.perform(CreateQueue("orders", settings))
        await self.send("old")
        await self.receive()
        feed = (
            from_history(self.broker, "orders")
            if self._history == "all"
            else from_looking(self.broker, "orders", self.clock)
        )
        self._feed: AsyncIterator[Sequence[Happening]] = feed
        assert await self.seen() == [], "only what happens from now on"

    async def seen(self) -> list[tuple[str, str | None]]:
        return [(each.kind, each.body) for each in await anext(self._feed)]

    async def send(self, *bodies: str) -> list[str]:
        outcomes = (await self.broker.perform(Send("orders", tuple(map(Draft, bodies))))).outcomes
        return [each.message_id for each in outcomes]  # type: ignore[union-attr]

    async def receive(self) -> list[str]:
        deliveries = (await self.broker.perform(Receive("orders", 10, 0))).deliveries
        return [each.receipt_handle for each in deliveries]

    async def settle(self, handle: str, action: Action) -> None:
        await self.broker.perform(Settle((Settlement("orders", handle, action),)))


@pytest.fixture(params=["all", "off"])
async def scene(request: pytest.FixtureRequest) -> Scene:
    scene = Scene(request.param)
    await scene.begin()
    return scene


async def test_a_message_is_followed_from_send_to_end(scene: Scene) -> None:
    await scene.send("one")
    assert await scene.seen() == [("sent", "one")]
    (handle,) = await scene.receive()
    assert await scene.seen() == [("received", None)]
    await scene.settle(handle, ChangeVisibility(100))
    assert await scene.seen() == [("visibility_changed", None)]
    await scene.settle(handle, DELETE)
    assert await scene.seen() in ([("deleted", None)], [("ended", None)])
    assert await scene.seen() == []


async def test_dead_letters_and_new_times_are_told(scene: Scene) -> None:
    await scene.send("one")
    (handle,) = await scene.receive()
    await scene.seen()
    await scene.settle(handle, DeadLetter("odd"))
    assert [kind for kind, _ in await scene.seen()] == ["dead_lettered"]
    (late,) = (await scene.broker.perform(Send("orders", (Draft("late", delay_seconds=60),)))).outcomes
    await scene.seen()
    await scene.broker.perform(Reschedule((late.message_id,), scene.clock.now_ms() + 90_000))  # type: ignore[union-attr]
    assert await scene.seen() == [("rescheduled", None)]


async def test_nothing_is_received_for_it(scene: Scene) -> None:
    await scene.send("one", "two")
    await scene.seen()
    described = (await scene.broker.perform(DescribeQueue("orders"))).queue
    assert (described.counts.ready, described.received_total) == (2, 1)


async def test_without_history_what_is_gone_between_two_looks_is_counted() -> None:
    scene = Scene("off")
    await scene.begin()
    await scene.send("one", "two")
    for handle in await scene.receive():
        await scene.settle(handle, DELETE)
    await scene.send("three")
    happenings = await anext(scene._feed)
    assert [(each.kind, each.count) for each in happenings] == [("sent", 0), ("unseen", 2)]
    assert await scene.seen() == []


async def test_without_history_one_that_comes_back_is_told() -> None:
    scene = Scene("off")
    await scene.begin()
    await scene.send("one")
    (handle,) = await scene.receive()
    await scene.seen()
    await scene.settle(handle, GiveBack(is_counted=True))
    assert await scene.seen() == [("came_back", None)]


def test_a_line_says_what_happened() -> None:
    assert line(Happening(0, "sent", "orders", "018b", body="a\x1b[2Jb\nc")).endswith(" sent      018b a\\x1b[2Jb…")
    assert line(Happening(0, "unseen", "orders", count=3)).endswith("] 3 more came and went")


def test_it_is_told_in_lines(terminal: Terminal) -> None:
    terminal("queue", "create", "orders", "--history", "all")
    command = [*COMMAND, "tail", "orders", "--json", "--count", "1", "--for", "60", *terminal.target]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as tail:
        while tail.poll() is None:  # it may not have begun yet
            terminal("send", "orders", "one")
        assert tail.stdout is not None
        told = json.loads(tail.stdout.read())
    assert (told["kind"], told["body"], tail.returncode) == ("sent", "one", 0)
    assert terminal("tail", "orders", "--for", "0.01") == ""
    terminal.fails("tail", "nowhere", status=3)
