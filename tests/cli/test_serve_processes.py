"""`penstock serve --processes N`: one port, several processes, one of which may die at any time."""

import os
import signal
import socket
import threading
import time
import uuid
from pathlib import Path

import httpx
import pytest

from tests.cli.test_serve import PATIENCE_SECONDS, Served, refused, served

pytestmark = [
    pytest.mark.xdist_group("processes"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc"),
]


def processes_of(server: Served) -> list[int]:
    """Return the numbers of the processes that serve, in the order in which they were started."""
    pid = server.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(holds: object) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(server: Served, method: str, path: str, **json: object) -> httpx.Response:
    """Ask on a connection of its own, and again when the process at its other end has died."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            answer = httpx.request(method, server.said["url"] + path, json=json or None, timeout=PATIENCE_SECONDS)
        except httpx.TransportError:
            assert time.monotonic() < deadline
            continue
        assert answer.status_code < 300, answer.text
        return answer


def test_processes_share_a_port_and_any_tells_the_figures_of_all(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("processes = 2\n[queues.orders]\nvisibility_timeout_seconds = 60")
    with served(tmp_path) as server:
        assert server.said["processes"] == 2
        counted = 'penstock_operations_total{{operation="ListQueues",outcome="ok",process="{}"}}'
        of_each = [counted.format(number) for number in (0, 1)]

        def both_have_worked() -> bool:
            ask(server, "GET", "/v1/queues")
            told = ask(server, "GET", "/metrics").text
            return all(each in told for each in of_each)

        wait_until(both_have_worked)
        told = ask(server, "GET", "/metrics").text
        assert 'process_resident_memory_bytes{process="0"}' in told
        assert 'process_resident_memory_bytes{process="1"}' in told
        # long polls at both, woken by whichever process is sent something
        found: list[str] = []

        def poll() -> None:
            answer = ask(server, "POST", "/v1/queues/orders/receive", wait_seconds=20)
            found.extend(each["body"] for each in answer.json()["deliveries"])

        polls = [threading.Thread(target=poll) for _ in range(8)]
        for each in polls:
            each.start()
        wait_until(lambda: waiting(server) == len(polls))
        for number in range(len(polls)):
            ask(server, "POST", "/v1/queues/orders/messages", messages=[{"body": str(number)}])
        for each in polls:
            each.join(PATIENCE_SECONDS)
        assert sorted(found) == [str(number) for number in range(len(polls))]
        assert server.stop() == 0


def waiting(server: Served) -> int:
    """Return how many long polls wait at all processes together."""
    lines = ask(server, "GET", "/metrics").text.splitlines()
    return sum(int(float(line.split()[1])) for line in lines if line.startswith("penstock_waiting_receives{"))


def test_a_process_that_is_killed_takes_nothing_along(tmp_path: Path) -> None:
    with served(tmp_path, "--processes", "2") as server:
        ask(server, "POST", "/v1/queues", queue="orders")
        killed = processes_of(server)
        sent = [str(uuid.uuid4()) for _ in range(60)]
        for number, message_id in enumerate(sent):
            if number in (15, 35):
                os.kill(killed[number == 35], signal.SIGKILL)
            ask(server, "POST", "/v1/queues/orders/messages", messages=[{"body": "x", "message_id": message_id}])
        received: list[str] = []
        while len(received) < len(sent):
            found = ask(server, "POST", "/v1/queues/orders/receive", max_messages=10).json()["deliveries"]
            assert found
            received += [each["message_id"] for each in found]
        assert sorted(received) == sorted(sent)
        wait_until(lambda: len(processes_of(server)) == 2)
        others = processes_of(server)
        assert not set(others) & set(killed)
        server.process.kill()  # who supervises is gone, so they drain
        wait_until(lambda: all(map(gone, others)))


def test_what_cannot_be_served_is_said_once(tmp_path: Path) -> None:
    assert "memory" in refused(tmp_path, "--processes", "2", "--store", "memory://", status=2)
    assert "1024" in refused(tmp_path, "--processes", "0", status=2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port} is taken" in refused(tmp_path, "--processes", "2", PORT=port, status=1)
    with served(tmp_path, "--processes", "2", "--store", "sqlite:///one.db") as server:
        port = server.said["url"].rpartition(":")[2]
        assert "is taken" in refused(tmp_path, "--processes", "2", PORT=port, status=1)
        assert server.stop(signal.SIGTERM) == 0
