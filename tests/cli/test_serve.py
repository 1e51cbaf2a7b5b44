"""`penstock serve` as a process: how it starts, what it says, how it stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

PATIENCE_SECONDS = 20
COMMAND = str(Path(sys.executable).with_name("penstock"))
MOST_IDLE_MIB = 70


class Served:
    """A server process and what it said when it began to serve."""

    def __init__(self, process: "subprocess.Popen[str]", said: dict[str, Any]) -> None:
        self.process = process
        self.said = said
        self.http = httpx.Client(base_url=said["url"], timeout=PATIENCE_SECONDS)

    def stop(self, *signals: signal.Signals) -> int:
        for each in signals or (signal.SIGTERM,):
            self.process.send_signal(each)
        return self.process.wait(PATIENCE_SECONDS)


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PORT" and not name.startswith("PENSTOCK_")}
    return {**kept, **variables}


@contextmanager
def served(directory: Path, *arguments: str, **variables: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [COMMAND, "serve", "--port", "0", *arguments],
        cwd=directory,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        server = Served(process, json.loads(line))
        with server.http:
            yield server
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def refused(directory: Path, *arguments: str, status: int, **variables: str) -> str:
    """Return what a server that cannot start says."""
    done = subprocess.run(
        [COMMAND, "serve", *arguments],
        cwd=directory,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_it_says_what_it_serves_in_one_line_and_keeps_what_it_was_sent(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert server.said == {
            "event": "serving",
            "url": server.said["url"],
            "store": "sqlite:///data/penstock.db",
            "durability": "full",
            "root": "sqs",
            "auth": "none",
        }
        server.http.post("/v1/queues", json={"queue": "orders"})
        server.http.post("/v1/queues/orders/messages", json={"messages": [{"body": "hello"}]})
        assert server.stop() == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""
    with served(tmp_path) as server:
        received = server.http.post("/v1/queues/orders/receive", json={}).json()
        assert received["deliveries"][0]["body"] == "hello"


def test_an_idle_server_is_small(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        server.http.get("/health/ready")
        status = Path(f"/proc/{server.process.pid}/status")
        if not status.exists():
            pytest.skip("no /proc here")
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        assert int(line.split()[1]) / 1024 < MOST_IDLE_MIB


def test_the_configuration_file_decides(tmp_path: Path) -> None:
    configuration = """
        dialect = "wq"
        store = "memory://"
        [[keys]]
        access_key_id = "AKIDTEST"
        secret = "a secret of some length"
        [queues.orders]
        visibility_timeout_seconds = 60
        dead_letter_queue = "orders-dead"
        max_receive_count = 5
        [queues.orders-dead]
        """
    (tmp_path / "penstock.toml").write_text(configuration)
    with served(tmp_path, PENSTOCK_REGION="eu-west-1") as server:
        assert (server.said["root"], server.said["durability"], server.said["auth"]) == ("wq", "none", "1 keys")
        server.http.headers["authorization"] = "Bearer AKIDTEST:a secret of some length"
        assert server.http.post("/", json=1).status_code == 201
        settings = server.http.get("/v1/queues/orders").json()["queue"]["settings"]
        assert settings["visibility_timeout_seconds"] == 60
        assert settings["redrive"] == {"dead_letter_queue": "orders-dead", "max_receive_count": 5}


def test_declared_queues_are_brought_to_what_the_file_says(tmp_path: Path) -> None:
    for seconds in (60, 90):
        (tmp_path / "penstock.toml").write_text(f"[queues.orders]\nvisibility_timeout_seconds = {seconds}")
        with served(tmp_path) as server:
            settings = server.http.get("/v1/queues/orders").json()["queue"]["settings"]
            assert settings["visibility_timeout_seconds"] == seconds
            assert server.stop() == 0


def test_port_is_honoured(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port} is taken" in refused(tmp_path, PORT=port, status=1)


def test_it_does_not_start_where_it_should_not(tmp_path: Path) -> None:
    assert "--no-auth" in refused(tmp_path, "--host", "0.0.0.0", status=2)
    assert "Did you mean PENSTOCK_PORT?" in refused(tmp_path, PENSTOCK_PROT="1", status=2)
    assert "is no store" in refused(tmp_path, "--store", "mysql://x", status=1)
    assert "TLS" in refused(tmp_path, "--tls-certificate", "no.pem", "--tls-key", "no.pem", status=1)
    (tmp_path / "damaged.db").write_bytes(b"this is no database" * 1000)
    refused(tmp_path, "--store", "sqlite:///damaged.db", status=1)
    assert (tmp_path / "damaged.db").read_bytes() == b"this is no database" * 1000


def test_all_addresses_are_served_when_that_is_meant(tmp_path: Path) -> None:
    with served(tmp_path, "--host", "0.0.0.0", "--no-auth", "--store", "memory://") as server:
        assert server.said["url"].startswith("http://localhost:")
        assert server.http.get("/health/ready").status_code == 200


@pytest.mark.parametrize("each", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(tmp_path: Path, each: signal.Signals) -> None:
    with served(tmp_path) as server:
        server.http.post("/v1/queues", json={"queue": "orders"})
        with socket.create_connection(("127.0.0.1", server.http.base_url.port)) as poll:  # type: ignore[arg-type]
            body = b'{"wait_seconds": 20}'
            head = b"POST /v1/queues/orders/receive HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
            poll.sendall(head % len(body) + body)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while "penstock_waiting_receives 1.0" not in server.http.get("/metrics").text:
                assert time.monotonic() < deadline
            started = time.monotonic()
            assert server.stop(each) == 0
            assert time.monotonic() - started < 5
            answer = poll.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b'{"deliveries":[]}\n')


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with (
        served(tmp_path, "--store", "memory://") as server,
        socket.create_connection(("127.0.0.1", server.http.base_url.port)) as slow,  # type: ignore[arg-type]
    ):
        slow.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n1")
        server.http.get("/health/live")
        server.process.send_signal(signal.SIGTERM)
        while accepts(server):
            pass
        started = time.monotonic()
        assert server.stop(signal.SIGTERM) == 130
        assert time.monotonic() - started < 5


def accepts(server: Served) -> bool:
    """Return whether a server takes new connections."""
    try:
        return httpx.get(f"{server.said['url']}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_help_is_all_one_needs() -> None:
    for arguments in (["--help"], ["serve", "--help"], ["queue", "--help"]):
        done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=True, env=environment())
        assert "Usage: penstock" in done.stdout
    for flag in ("--host", "--port", "--store", "--dialect", "--no-auth", "--config", "--limits"):
        assert flag in subprocess.run([COMMAND, "serve", "-h"], capture_output=True, text=True, check=True).stdout
