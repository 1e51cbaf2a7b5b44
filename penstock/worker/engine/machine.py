"""What the system tells about processes: whether they live, how much memory they use. Linux tells most."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from penstock.broker.system import SystemClock
from penstock.core.clock import Clock

_LOOK_SECONDS = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def steady_clock(clock: Clock) -> Callable[[], int]:
    """Return what tells how much time passes, in ms from anywhere: setting the machine's clock does not change it."""
    return (lambda: time.monotonic_ns() // 1_000_000) if isinstance(clock, SystemClock) else clock.now_ms


def machine_id() -> str:
    """Return what all processes share that can see each other, until the machine is started anew, and no others."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def start_of(pid: int) -> int | None:
    """Return what tells a process from a later one of the same number; ``None``: not known, or there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # proc(5): field 22, counted behind the name in brackets, which may hold anything
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def rss_bytes(pid: int) -> int | None:
    """Return how much memory a process has in RAM; ``None``: not known, or there is none."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return None


def die_first() -> None:
    """When memory runs out, have the system take this process rather than its parent."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def on_death(pid: int, call_back: Callable[[], None]) -> Callable[[], None]:
    """Call back once, on the running loop, when a process has ended; return how to stop watching.

    At once where the system has pidfds, within a second elsewhere. A process that is not there has ended.
    """
    loop = asyncio.get_running_loop()
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return loop.call_soon(call_back).cancel
    except (OSError, AttributeError):
        return _ask_again(loop, pid, call_back)

    def stop() -> None:
        nonlocal watched
        if watched >= 0:
            loop.remove_reader(watched)
            os.close(watched)
            watched = -1

    def ended() -> None:
        stop()
        call_back()

    loop.add_reader(watched, ended)
    return stop


def _ask_again(loop: asyncio.AbstractEventLoop, pid: int, call_back: Callable[[], None]) -> Callable[[], None]:
    timer: asyncio.TimerHandle

    def ask() -> None:
        nonlocal timer
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            call_back()
            return
        except PermissionError:
            pass
        timer = loop.call_later(_LOOK_SECONDS, ask)

    timer = loop.call_later(0, ask)
    return lambda: timer.cancel()
