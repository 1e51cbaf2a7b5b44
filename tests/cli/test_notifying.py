"""A server tells the service manager that started it how it goes."""

import signal
import socket
from pathlib import Path

from penstock.cli.notifying import Notifying
from tests.cli.test_serve import PATIENCE_SECONDS, served


def test_it_tells_when_it_serves_that_it_lives_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE_SECONDS)
        manager.bind(str(tmp_path / "notify"))
        # a beat each half second: the socket keeps ten that nobody has read
        with served(tmp_path, NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="1000000") as server:
            first = manager.recv(1000).decode()
            assert first == f"READY=1\nSTATUS=serves {server.said['url']}"
            assert [manager.recv(1000) for _ in range(2)] == [b"WATCHDOG=1"] * 2
            server.process.send_signal(signal.SIGTERM)
            while (said := manager.recv(1000)) == b"WATCHDOG=1":
                pass
            assert said == b"STOPPING=1\nSTATUS=draining"
            assert server.process.wait(PATIENCE_SECONDS) == 0


async def test_a_watchdog_of_another_process_is_left_alone() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.bind("")  # the system gives it a name that is no file
        address = f"@{manager.getsockname()[1:].decode()}"
        variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        notifying = Notifying(variables)
        notifying.ready("serves")
        notifying.stopping()
        notifying.close()
        assert manager.recv(1000) == b"READY=1\nSTATUS=serves"
        assert manager.recv(1000) == b"STOPPING=1\nSTATUS=draining"


async def test_without_a_manager_and_with_one_that_has_gone_nothing_happens(tmp_path: Path) -> None:
    for variables in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        notifying = Notifying(variables)
        notifying.ready("serves")
        notifying.stopping()
        notifying.close()
