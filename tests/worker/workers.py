"""Workers that run beside a test, on the manual clock of its app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from penstock.core.effects import Effects
from penstock.core.messages import MessageView
from penstock.core.operations import Apply, Find
from penstock.testing.jobs import AppUnderTest
from penstock.worker.engine.worker import Worker
from tests.support.turns import PATIENCE_SECONDS, until


@asynccontextmanager
async def working(under_test: AppUnderTest, **options: Any) -> AsyncIterator[Worker]:
    """Let a worker work as long as this lasts; then it is drained."""
    worker = under_test.worker(is_burst=False, **options)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.drain()
        await asyncio.wait_for(running, PATIENCE_SECONDS)


class Gate:
    """Holds up a task of a test until it is opened; tells how often it was reached."""

    def __init__(self) -> None:
        self.reached = 0
        self.passed = 0
        self._open = asyncio.Event()

    async def wait(self) -> None:
        """Wait at the gate; for tasks."""
        self.reached += 1
        await self._open.wait()
        self.passed += 1

    def open(self) -> None:
        """Let all pass that wait, and all that come."""
        self._open.set()

    async def until_reached(self, times: int = 1) -> None:
        """Return when so many have come to the gate."""
        await until(lambda: self.reached >= times, f"{times} jobs have started")


async def ticked(under_test: AppUnderTest, worker: Worker) -> None:
    """Let a second pass and the worker do what it does each second."""
    under_test.clock.advance(1)
    await settled(under_test, worker)


async def settled(under_test: AppUnderTest, worker: Worker) -> None:
    """Let a worker end what it has begun, so far as no task keeps it waiting."""
    for _ in range(3):
        await until(lambda: True, "turns of the loop")
        # it waits for what was asked before, of whatever connection or thread a store asks
        await under_test.broker.perform(Find(("00000000-0000-7000-8000-000000000000",)))
        await under_test.broker.perform(Apply(Effects()))


async def message_of(under_test: AppUnderTest, job_id: str) -> MessageView | None:
    """Return the message of a job, while there is one."""
    return (await under_test.broker.perform(Find((job_id,)))).messages[0]
