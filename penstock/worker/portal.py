"""How code outside the event loop speaks to the broker: a thread with a loop that the broker lives on.

One thread for each app and process, started at first use; a child of a fork starts its own.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest
from penstock.worker.direct import Direct, Work
from penstock.worker.loops import new_loop

T = TypeVar("T")
Connect = Callable[[], Awaitable[Broker]]


class _Asked(Generic[T]):
    """Work on a loop, and the thread that waits for it: two thirds of what ``run_coroutine_threadsafe`` costs."""

    __slots__ = ("_arguments", "_done", "_task")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, do: Callable[[Work[T]], Coroutine[Any, Any, T]], work: Work[T]
    ) -> None:
        self._arguments = loop, do, work
        self._done = threading.Lock()
        self._done.acquire()

    def begin(self) -> None:
        """Begin, on the loop."""
        loop, do, work = self._arguments
        self._task = loop.create_task(do(work))
        self._task.add_done_callback(self._end)

    def _end(self, _: "asyncio.Task[T]") -> None:
        self._done.release()

    def result(self) -> T:
        """Wait for the end and return the result, or raise what was raised."""
        with self._done:
            try:
                return self._task.result()
            except asyncio.CancelledError as error:
                raise CancelledError from error


class Portal:
    """Runs work with a broker, for callers in any thread and on any loop.

    Args:
        connect: opens the broker; called on the loop that it will live on, at first use.
        connect_blocking: opens one for threads without a loop, if there is such a way.
    """

    def __init__(self, connect: Connect, connect_blocking: Callable[[], Broker | None] = lambda: None) -> None:
        self._connect = connect
        self._direct = Direct(connect_blocking)
        self._lock = threading.Lock()
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._broker: asyncio.Future[Broker] | None = None
        self._before: tuple[asyncio.AbstractEventLoop | None, asyncio.Future[Broker] | None] | None = None
        self._lock = threading.Lock()
        self._direct.forget()

    def attach(self, broker: Broker) -> None:
        """Use this broker, which lives on the running loop, from now on: a worker shares its own with its tasks."""
        self._before = self._loop, self._broker
        self._loop = asyncio.get_running_loop()
        self._broker = self._loop.create_future()
        self._broker.set_result(broker)

    def detach(self) -> None:
        """Use the attached broker no more, but the one of before."""
        if self._before is not None:
            (self._loop, self._broker), self._before = self._before, None

    def run(self, work: Work[T]) -> T:
        """Do some work with the broker and wait for it, blocking the calling thread.

        Raises:
            InvalidRequest: the calling thread runs the very loop that would do the work.
        """
        loop = self._running()
        if _running_loop() is loop:
            raise InvalidRequest(
                "This would wait for itself.", hint="In async code await the async form: asend instead of send."
            )
        asked = _Asked(loop, self._work, work)
        loop.call_soon_threadsafe(asked.begin)
        return asked.result()

    def run_directly(self, queue: str, work: Work[T]) -> T:
        """Do some work about a queue that awaits nothing but replies of the broker: in the calling thread, where that
        is possible (``Direct``), else as ``run`` does it; an attached broker is asked always."""
        if self._before is not None:
            return self.run(work)
        return self._direct.run(queue, work, self.run)

    async def arun(self, work: Work[T]) -> T:
        """The same for coroutines, on whichever loop they are."""
        loop = self._running()
        if asyncio.get_running_loop() is loop:
            return await self._work(work)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._work(work), loop))

    def close(self) -> None:
        """Close the brokers this portal opened, and end the thread."""
        self._direct.close()
        with self._lock:
            loop, thread = self._loop, self._thread
            self._forget_thread()
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _forget_thread(self) -> None:
        if self._thread is not None:
            self._loop = self._thread = None

    async def _work(self, work: Work[T]) -> T:
        if self._broker is None:
            self._broker = asyncio.ensure_future(self._connect())
        elif self._broker.done() and self._broker.exception() is not None:
            self._broker = asyncio.ensure_future(self._connect())  # it was away; perhaps it is back
        return await work(await asyncio.shield(self._broker))

    def _running(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is not None:
            return loop
        with self._lock:
            if self._loop is None:
                self._loop = new_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name="penstock-portal", daemon=True
                )
                self._thread.start()
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        broker, self._broker = self._broker, None
        if broker is not None and broker.done() and not broker.cancelled() and broker.exception() is None:
            loop.run_until_complete(broker.result().aclose())
        loop.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
