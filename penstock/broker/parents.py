"""A process that does not outlive the one that started it."""

import contextlib
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int, by: signal.Signals) -> None:
    """Have this process get a signal when its parent dies; at once if it is dead already."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), by)
