"""A real PostgreSQL on a free port, of its own for each test process. It dies with the process that started it."""

import atexit
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

USER = "penstock"
SCHEMA = "conformance"
_PATIENCE_SECONDS = 30
_RUN = """
trap '' INT TERM
"$@" &
read -r how
kill -INT $! 2>/dev/null
wait $!
[ "$how" = keep ] || rm -rf "$FOLDER"
"""


class PostgresServer:
    """A server with an empty database.

    Args:
        is_durable: whether it flushes to disk; tests that kill it want that.
        settings: further settings.
    """

    def __init__(self, *, is_durable: bool = False, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self._account = account()
        if self._account is not None:
            shutil.chown(self.folder, self._account)
        self._settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "80",
            "shared_buffers": "64MB",
            "fsync": "on" if is_durable else "off",
            "autovacuum_naptime": "5s",
            **settings,
        }
        command = [binary("initdb"), "-D", str(self.data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale"]
        subprocess.run([*command, "--no-sync"], check=True, capture_output=True, **self._as_account())
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """The store's URL, without options."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            ["sh", "-c", _RUN, "sh", binary("postgres"), "-D", str(self.data), *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "FOLDER": str(self.folder)},
            **self._as_account(),
        )
        log.close()
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        command = [binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(command, check=False).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{self.log()}")
            time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it at once: SIGKILL, or SIGQUIT for an immediate shutdown. ``start`` starts it again."""
        pid = self.pid
        os.kill(pid, number)
        assert self._process is not None
        self._process.communicate(b"keep\n", timeout=_PATIENCE_SECONDS)
        self._process = None

    @property
    def pid(self) -> int:
        """Of the server."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """Stop it and forget all it has."""
        if self._process is not None:
            self._process.communicate(b"\n", timeout=_PATIENCE_SECONDS)
            self._process = None

    def _as_account(self) -> dict[str, Any]:
        return {} if self._account is None else {"user": self._account, "group": _group_of(self._account)}


@cache
def shared_server() -> PostgresServer:
    """Return the one server of this test process."""
    server = PostgresServer(synchronous_commit="off")
    atexit.register(server.stop)
    return server


def wipe(url: str, schema: str) -> None:
    """Forget everything in a schema, if it is there: faster than to make it anew."""
    connection = _wiping(url)
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = to_regnamespace(%s)", [f'"{schema}"']
    )
    names = {row[0] for row in rows} - {"schema_version", "writers"}
    if names:
        statements = [f'DELETE FROM "{schema}"."{name}"' for name in sorted(names)]
        connection.execute(";".join([*statements, f"SELECT setval('\"{schema}\".events_event_id_seq', 1, false)"]))


@cache
def _wiping(url: str) -> psycopg.Connection:
    connection = psycopg.connect(url, autocommit=True)
    atexit.register(connection.close)
    return connection


_ask_of_types = asyncpg.Connection._introspect_types
_known_types: dict[frozenset[int], Any] = {}


async def _remember_types(connection: Any, numbers: Any, *more: Any) -> Any:
    """Ask once what PostgreSQL's own types are, not on each connection: that is a third of what a short test costs."""
    key = frozenset(numbers)
    if key not in _known_types:
        _known_types[key] = await _ask_of_types(connection, numbers, *more)
    return _known_types[key]


asyncpg.Connection._introspect_types = _remember_types


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def binary(name: str) -> str:
    """Return the path of a program of PostgreSQL. Without one the test fails in CI, and is skipped elsewhere."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    for folder in folders:
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is not None:
        return found
    missing = f"PostgreSQL's {name} is not there: run scripts/install-servers (Debian and Ubuntu: postgresql)."
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@cache
def account() -> str | None:
    """Return the user that runs the server: it refuses to run as root."""
    return ("postgres" if _exists("postgres") else "nobody") if getpass.getuser() == "root" else None


def _exists(user: str) -> bool:
    return subprocess.run(["id", user], check=False, capture_output=True).returncode == 0


def _group_of(user: str) -> str:
    return subprocess.run(["id", "-gn", user], check=True, capture_output=True, text=True).stdout.strip()
