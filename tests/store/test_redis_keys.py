"""What the Redis store leaves in Redis: nothing of what is gone, and little for what waits."""

import asyncio
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.errors import PenstockError
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DeleteQueue
from penstock.core.queues import QueueChanges
from penstock.store import open_store
from tests.conformance.implementations import STORES, Implementation, opened
from tests.conformance.test_model import play
from tests.support.entropy import message_id
from tests.support.redis_server import RedisServer
from tests.support.scripts import NAMES, QUEUES, Past, next_step
from tests.support.world import World

REDIS = Implementation("redis", STORES["redis"], is_kept=True)
MOST_BYTES_PER_MESSAGE = 600
KEPT_ALWAYS = {"counters", "e", "eh", "once"}
"""Numbers given out, the feed of events, and what the latest batches were answered."""


async def keys_left(world: World) -> set[str]:
    """Return the kinds of keys under the hash tag of a store."""
    calls = world.store.store._calls  # type: ignore[attr-defined]
    prefix = f"{{{calls.address.tag}}}:"
    names = await calls.ask("EVAL", "return redis.call('KEYS', '*')", 0)
    found = [name.decode(errors="replace") for name in names]
    return {name.removeprefix(prefix).split(":")[0] for name in found if name.startswith(prefix)}


async def live_and_end(script: list[int], directory: Path) -> set[str]:
    async with opened(REDIS, directory) as world:
        for name in NAMES:
            await world.perform(CreateQueue(name, QUEUES[name]))
        past = Past(world.now, favourites=tuple(Random(len(script) + script[0]).sample(NAMES, 2)))
        for number in filter(None, script):
            step = next_step(number, past)
            past.remember(step, await play(world, step))
            past.now = world.now
        for name in NAMES:
            try:
                await world.perform(DeleteQueue(name))
            except PenstockError:
                continue
        records = await world.store.find_records("", None, "", 1000, world.now)
        await world.store.delete_records([each.key for each in records], world.now)
        world.advance(10 * 86_400)
        for _ in range(3):
            # a move of a deleted queue ends at its next step, and is forgotten a week later
            await world.step_moves()
            world.advance(10 * 86_400)
            while await world.sweep():
                pass
        return await keys_left(world)


@settings(max_examples=15, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=st.lists(st.integers(1, 1 << 64), min_size=100, max_size=150))
def test_of_queues_that_are_gone_nothing_is_left(script: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        left = asyncio.run(live_and_end(script, Path(directory)))
    # joins without an expiry wait for their parts for ever, and keep the name of their message
    assert left - {"j", "jd", "jp", "ids"} <= KEPT_ALWAYS


@pytest.mark.parametrize("group", [None, "g"])
async def test_of_messages_that_came_and_went_nothing_is_left(tmp_path: Path, group: str | None) -> None:
    async with opened(REDIS, tmp_path) as world:
        await world.create("q")
        before = await keys_left(world)
        for _ in range(3):
            await world.send("q", *map(str, range(300)), group_id=group)
            while held := await world.receive("q", 100, owner="me"):
                await world.delete("q", *held)
        left = await keys_left(world)
    # the list of what is to be swept names the queue until the next sweep
    assert left - before <= {"due", *KEPT_ALWAYS}


async def test_a_waiting_message_takes_little_memory(tmp_path: Path) -> None:
    server = RedisServer(tmp_path).start()
    try:
        store = await open_store(server.url)
        await store.create_queue("q", QueueChanges(), 0, 1000)

        async def used() -> int:
            lines = (await store.store._calls.ask("INFO", "memory")).decode().splitlines()  # type: ignore[attr-defined]
            return int(dict(line.split(":", 1) for line in lines if ":" in line)["used_memory_dataset"])

        async def send(first: int) -> None:
            for number in range(first, first + 20_000, 500):
                drafts = [Draft("x" * 200, message_id=message_id(each)) for each in range(number, number + 500)]
                await store.send("q", drafts, 1000)

        await send(0)
        before = await used()
        await send(20_000)
        assert (await used() - before) / 20_000 <= MOST_BYTES_PER_MESSAGE
        await store.aclose()
    finally:
        server.kill()
