"""Telling systemd how it goes: started, alive, stopping. Elsewhere (no ``NOTIFY_SOCKET``) it says nothing.

Source of the protocol: sd_notify(3), sd_watchdog_enabled(3).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping


class Notifying:
    """Speaks to the service manager that started this process, if there is one.

    Args:
        environment: the variables of the process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # half of it: one that is late is not taken for dead
        self._beat_seconds = int(microseconds) / 2e6 if microseconds.isdigit() and is_ours else 0.0
        self._beating: asyncio.Task[None] | None = None

    def ready(self, status: str) -> None:
        """Requests are answered from now on. Begins to tell that the event loop goes round."""
        self._say(f"READY=1\nSTATUS={status}")
        if self._beat_seconds and self._address:
            self._beating = asyncio.get_running_loop().create_task(self._beat())

    def stopping(self) -> None:
        """No more requests are taken."""
        self._say("STOPPING=1\nSTATUS=draining")

    def close(self) -> None:
        """Say nothing more."""
        if self._beating is not None:
            self._beating.cancel()

    async def _beat(self) -> None:
        while True:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._beat_seconds)

    def _say(self, text: str) -> None:
        if not self._address:
            return
        # never waits: a manager that does not listen is no reason to stand still
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as to:
            to.sendto(text.encode(), self._address)
