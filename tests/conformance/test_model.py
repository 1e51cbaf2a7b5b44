"""Every store does what the memory store does: whatever happens, equal replies and in the end equal contents.

``PENSTOCK_MODEL_EXAMPLES=5000`` looks longer, and each time elsewhere.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from msgspec import structs

from penstock.core.errors import PenstockError, Problem
from penstock.core.events import Event
from penstock.core.messages import MessageView
from penstock.core.operations import (
    ApplyReply,
    CreateQueue,
    FindRecords,
    ListGroups,
    ListMoves,
    ListQueues,
    Peek,
    ReadEvents,
    SendReply,
    Sent,
)
from penstock.store.contract import EVERY_GROUP, Received, wakeup_name
from tests.conformance.implementations import COMPARED, IN_PROCESS, Implementation, opened
from tests.support import in_one_place
from tests.support.one_at_a_time import OneAtATime
from tests.support.scripts import NAMES, QUEUES, Advance, Past, Step, StepMoves, Sweep, next_step
from tests.support.world import World

MEMORY = next(each for each in IN_PROCESS if each.name == "memory")
EXAMPLES = int(os.environ.get("PENSTOCK_MODEL_EXAMPLES", "0"))

looking = settings(
    max_examples=EXAMPLES or 30,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
scripts = st.lists(st.integers(0, 1 << 64), min_size=40, max_size=150)


@pytest.mark.parametrize("implementation", COMPARED, ids=lambda each: each.name)
@looking
@given(script=scripts)
def test_a_store_does_what_the_memory_store_does(implementation: Implementation, script: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(compare(implementation, script, Path(directory)))


async def compare(implementation: Implementation, script: list[int], directory: Path) -> None:
    """Play a script on both stores and compare as it goes; a store on disk is opened again in the end."""
    async with opened(MEMORY, directory) as model:
        async with opened(implementation, directory) as real:
            await play_through(model, real, script, implementation)
        if implementation.is_kept:
            async with opened(implementation, directory) as again:
                again.clock.advance((model.now - again.now) / 1000)
                assert await contents(again) == await contents(model), "what was kept on disk"


async def play_through(model: World, real: World, script: list[int], implementation: Implementation) -> None:
    watches = Watch(model), Watch(real)
    for name in NAMES:
        for world in (model, real):
            await world.perform(CreateQueue(name, QUEUES[name]))
    past = Past(model.now, favourites=tuple(Random(len(script) + script[0]).sample(NAMES, 2)))
    one_at_a_time = OneAtATime()
    # hypothesis makes numbers 0 and does not shorten a script below its least length
    for number in filter(None, script):
        step = next_step(number, past)
        if implementation.is_sharded:
            step = one_at_a_time.made(step)
        if implementation.has_partitions:
            step = in_one_place.made(step, past)
        note(repr(step))
        expected, actual = await play(model, step), in_one_place.told(await play(real, step))
        if implementation.is_sharded:
            assert without_originals(actual) == without_originals(expected)
        else:
            assert actual == expected
        found = [watch.found() for watch in watches]
        assert found[1] == found[0], "what a receive found, and when it says to look again"
        past.remember(step, expected)
        past.now = model.now
    assert await contents(real) == await contents(model)


class Watch:
    """Watches a world's store: what receives find, and that who waits is told when there is something."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._found: list[Received] = []
        self._due: dict[tuple[str, str | None], list[int]] = {}
        self._receive = world.store.receive
        world.store.receive = self._watched  # type: ignore[method-assign]
        world.store.listen(self._wake)

    def found(self) -> list[Received]:
        """Return what was found since this was last asked: the broker does not pass all of it on."""
        found, self._found = self._found, []
        return found

    def _wake(self, name: str, at: int) -> None:
        for waiting, instants in self._due.items():
            every_group = wakeup_name(waiting[0].partition("\n")[0], EVERY_GROUP)
            if name == waiting[0] or (name == every_group and waiting[1] is not None):
                instants.append(at)

    async def _watched(self, queue: str, *args: Any, **details: Any) -> Received:
        received = await self._receive(queue, *args, **details)
        self._found.append(received)
        # who follows a delivery waits for the wake-ups of its group
        handle = details["following"]
        for name, followed in list(self._due):
            if handle is not None and followed == handle:
                due = self._due.pop((name, handle))
                break
        else:
            due = self._due.pop((queue, None), [0]) if handle is None else [0]
        name = queue if received.group_id is None else wakeup_name(queue, received.group_id)
        if received.deliveries and details["attempt_id"] is not None:
            pass  # perhaps the same as before, which nobody waits for
        elif received.deliveries:
            assert any(at <= self.world.now for at in due), "a long poll would have slept through this"
        else:
            self._due[name, handle] = [] if received.look_again_at is None else [received.look_again_at]
        return received


async def play(world: World, step: Step) -> Any:
    """Take a step; return its reply or the problem it met."""
    if isinstance(step, Advance):
        return world.advance(step.seconds)
    if isinstance(step, Sweep):
        # how much there is to forget is the store's own affair
        await world.sweep()
        return None
    if isinstance(step, StepMoves):
        return await world.step_moves(step.limit)
    return await answer(world, step)


async def answer(world: World, operation: Any) -> Any:
    try:
        return await world.perform(operation)
    except PenstockError as error:
        return Problem(error.code, str(error), error.problem.hint, error.problem.field)


def without_originals(reply: Any) -> Any:
    """Return a reply that does not say of what its duplicates are duplicates.

    What one shard would find to be a duplicate by its deduplication id, several may find by its message id first.
    """
    if not isinstance(reply, SendReply | ApplyReply):
        return reply
    outcomes = tuple(
        Sent("", 0, is_duplicate=True) if isinstance(each, Sent) and each.is_duplicate else each
        for each in reply.outcomes
    )
    return structs.replace(reply, outcomes=outcomes)


async def contents(world: World) -> list[Any]:
    """Return all that can be seen of a store."""
    found: list[Any] = [await answer(world, ListQueues()), await answer(world, FindRecords(limit=1000))]
    for name in NAMES:
        found.append(await answer(world, ListGroups(name, limit=1000)))
        found.append(in_one_place.told(await answer(world, ListMoves(name, limit=1000))))
        found.append(await messages(world, name))
    found.append(await histories(world))
    return found


async def histories(world: World) -> dict[str, list[Event]]:
    """Return the events of each message. How the events of different messages lie to each other is not promised."""
    of_message: dict[str, list[Event]] = {}
    for event in (await world.perform(ReadEvents(limit=1000))).events:
        of_message.setdefault(event.message_id, []).append(in_one_place.told(structs.replace(event, event_id=0)))
    return of_message


async def messages(world: World, queue: str) -> tuple[MessageView, ...] | Problem:
    reply = await answer(world, Peek(queue, limit=1000))
    return reply if isinstance(reply, Problem) else reply.messages
