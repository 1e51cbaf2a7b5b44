"""Ending what runs in a thread by an exception that arrives from outside: in the task's function, and nowhere else.

The interpreter raises it at the next bytecode of the thread, wherever that is, and not while the thread is inside a
call to C. So there is a span, opened and closed in the thread itself, outside which nothing is raised.
"""

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

from penstock.worker.outcomes import Interrupted

T = TypeVar("T")

_LOCK_SECONDS = 1.0


class Interruptible:
    """One call that can be interrupted once while it runs."""

    __slots__ = ("_is_open", "_lock", "_thread_id", "_was_used")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id = 0
        self._is_open = False
        self._was_used = False

    def run(self, work: Callable[[], T]) -> T:
        """Call ``work`` in this thread and return what it returns. Raises what it raises, or the interruption."""
        self._thread_id = threading.get_ident()
        # an interruption may hit the inner closing, and there is only one: the outer closing is never hit
        try:
            try:
                self._is_open = True
                return work()
            finally:
                self._close()
        finally:
            self._close()

    def interrupt(self, error: type[Interrupted]) -> bool:
        """Raise an error in the call, from another thread. Never blocks.

        Returns:
            False: not now; try again, unless the call has ended meanwhile.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if not self._is_open or self._was_used:
                return self._was_used
            self._was_used = True
            _raise_in(self._thread_id, error)
            return True
        finally:
            self._lock.release()

    def _close(self) -> None:
        # bounded: an interruption right after this call returns would leave the lock locked
        is_locked = self._lock.acquire(timeout=_LOCK_SECONDS)
        try:
            self._is_open = False
            if self._was_used:
                _raise_in(self._thread_id, None)  # what is on its way no longer arrives
        finally:
            if is_locked:
                self._lock.release()


def _raise_in(thread_id: int, error: type[Interrupted] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), None if error is None else ctypes.py_object(error)
    )
