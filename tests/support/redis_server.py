"""A real redis-server on a free port: one for all tests of a process, or one's own to kill and restart."""

import atexit
import functools
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PATIENCE_SECONDS = 10
SLOTS = 16_384


class RedisServer:
    """A redis-server in a directory of its own.

    Args:
        directory: for its files.
        file: the configuration file of a sentinel; it is one then.
        settings: more of its configuration, such as ``appendonly="yes"``; a space parts several values.
    """

    def __init__(self, directory: Path, *, file: str | None = None, **settings: str | int) -> None:
        self._directory = directory
        self._file = file
        self.settings = settings if file is not None else {"save": "", "appendonly": "no", **settings}
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "RedisServer":
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is missing: run scripts/install-servers, or install it"
        command = [program]
        if self._file is not None:
            path = self._directory / "sentinel.conf"
            path.write_text(self._file)
            command += [str(path), "--sentinel"]
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        for name, value in self.settings.items():
            command += [f"--{name.replace('_', '-')}", *str(value).split(" ")]
        with open(self._directory / "redis.log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if self.ask("PING").startswith((b"+PONG", b"-NOAUTH")):
                    return self
            except OSError:
                pass
            assert self._process.poll() is None, (self._directory / "redis.log").read_text()
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def ask(self, *command: str) -> bytes:
        """Send a command and return the first line of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as connection:
            parts = "".join(f"${len(part.encode())}\r\n{part}\r\n" for part in command)
            connection.sendall(f"*{len(command)}\r\n{parts}".encode())
            return connection.makefile("rb").readline().rstrip()

    def told(self, *command: str) -> str:
        """Send a command and return the text it is answered with."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as connection:
            parts = "".join(f"${len(part.encode())}\r\n{part}\r\n" for part in command)
            connection.sendall(f"*{len(command)}\r\n{parts}".encode())
            answer = connection.makefile("rb")
            return answer.read(int(answer.readline()[1:])).decode()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@functools.cache
def shared_server() -> RedisServer:
    """Return the server that the tests of this process share, each under a hash tag of its own."""
    return _kept()


@functools.cache
def shared_servers() -> tuple[RedisServer, RedisServer]:
    """Return two independent servers that the tests of this process share, each under a hash tag of its own."""
    return shared_server(), _kept()


@functools.cache
def shared_cluster() -> tuple[RedisServer, ...]:
    """Return the masters of a cluster that the tests of this process share, each under hash tags of its own."""
    return form_cluster([_kept(cluster_enabled="yes", cluster_port=free_port()) for _ in range(3)])


def form_cluster(nodes: Sequence[RedisServer]) -> tuple[RedisServer, ...]:
    """Make a cluster of servers that share its slots, and wait until it is whole."""
    share = -(-SLOTS // len(nodes))
    for place, node in enumerate(nodes):
        first, last = place * share, min((place + 1) * share, SLOTS) - 1
        assert node.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(last)) == b"+OK"
    for node in nodes[1:]:
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(node.settings["cluster_port"]))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all("cluster_state:ok" in node.told("CLUSTER", "INFO") for node in nodes):
        assert time.monotonic() < deadline, "the cluster is not whole"
        time.sleep(0.02)
    return tuple(nodes)


def _kept(**settings: str | int) -> RedisServer:
    """Start a server that ends with this process."""
    directory = Path(tempfile.mkdtemp(prefix="penstock-redis-"))
    server = RedisServer(directory, **settings).start()

    def end() -> None:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)

    atexit.register(end)
    return server
