"""What the parts of an app work with: the broker and a clock, queues, tasks by name, middleware.

Tasks, jobs, workflows, schedules, keys and outboxes each hold the ``Runtime`` they belong to; ``App`` is one.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from penstock.broker.contract import Broker
from penstock.broker.system import Entropy, SystemClock, SystemEntropy
from penstock.core.clock import Clock
from penstock.core.placement import in_slot_of
from penstock.worker.arguments import Arguments
from penstock.worker.envelope import Envelope
from penstock.worker.middleware import Middleware
from penstock.worker.outbox.relay import Relay
from penstock.worker.portal import Connect, Portal
from penstock.worker.queues import QueueDefinition
from penstock.worker.sending import Request, send

RESULT_SECONDS = 86_400.0


class Known(Protocol):
    """What is asked of a task by those who only have its name."""

    arguments: Arguments


class Runtime:
    """The broker, the clock and what the code has declared.

    Args:
        connect: opens the broker, on the event loop it will live on.
        connect_blocking: opens one for a thread that has no event loop, if there is such a way; see ``Direct``.
        clock, entropy: where instants and ids come from.
        result_seconds: how long the end of a job is known, unless its task says otherwise.
        middleware: wraps every sending and every attempt, the first outermost.
        name: tells this app from others on the same store: schedules that its code no longer declares are removed. Not
            given: the module that makes it.
    """

    tasks: Mapping[str, Known]

    def __init__(
        self,
        connect: Connect,
        *,
        connect_blocking: Callable[[], Broker | None] = lambda: None,
        name: str | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        result_seconds: float = RESULT_SECONDS,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.connect = connect
        self.portal = Portal(lambda: self.connect(), connect_blocking)
        self.clock: Clock = clock or SystemClock()
        self.entropy: Entropy = entropy or SystemEntropy()
        self.result_seconds = result_seconds
        self.middleware = list(middleware)
        self.tasks = {}
        self.queues: dict[str, QueueDefinition] = {}
        self._usual_queues: dict[str, QueueDefinition] = {}
        self.relays: list[Relay] = []
        self.name = name or _calling_module()

    def queue_named(self, name: str) -> QueueDefinition:
        """Return how a queue behaves."""
        definition = self.queues.get(name) or self._usual_queues.get(name)
        if definition is None:
            definition = self._usual_queues[name] = QueueDefinition(name=name)
        return definition

    async def dispatch(self, broker: Broker, requests: Sequence[Request]) -> list[str]:
        """Send jobs with a broker; see ``sending.send``."""
        return await send(broker, requests, self.queue_named, self.clock.now_ms())

    def send_requests(self, requests: Sequence[Request]) -> list[str]:
        """The same from code that is not async, blocking the calling thread."""
        queue = requests[0].queue if requests else ""
        return self.portal.run_directly(queue, lambda broker: self.dispatch(broker, requests))

    async def asend_requests(self, requests: Sequence[Request]) -> list[str]:
        """The same from whichever loop."""
        return await self.portal.arun(lambda broker: self.dispatch(broker, requests))

    def stamp(self, envelope: Envelope) -> Envelope:
        """Return a job as all middleware lets it be sent."""
        for each in self.middleware:
            envelope = each.sending(envelope)
        return envelope

    def new_id(self, queue: str | None = None, key: str | None = None) -> str:
        """Mint the id of a job that goes to a queue, with a key or without.

        It carries the slot of the partition that the job goes to, where the app says that its queue has several.
        """
        job_id = self.entropy.message_id(self.clock.now_ms(), queue)
        definition = None if queue is None else self.queues.get(queue)
        if definition is None or definition.partitions == 1:
            return job_id
        return in_slot_of(job_id, definition.part_for(key, job_id))

    def nudge_relays(self) -> None:
        """Tell the relays in this process that there may be something to send."""
        for relay in self.relays:
            relay.nudge()

    @property
    def result_ms(self) -> int:
        """How long the end of a job is known, in ms."""
        return round(self.result_seconds * 1000)

    def decode_result(self, task: str, result: Raw) -> Any:
        """Return what a job returned, in the type its task says."""
        known = self.tasks.get(task)
        return msgspec.json.decode(result) if known is None else known.arguments.decode_result(result)

    def close(self) -> None:
        """Let go of the broker. The app may be used again."""
        self.portal.close()


def _calling_module() -> str:
    """Return the name of the module that makes an app, or of its file where it is run as a program."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("penstock."):
        frame = frame.f_back
    name: str = frame.f_globals.get("__name__", "app")
    return Path(frame.f_globals.get("__file__") or "app").stem if name == "__main__" else name
