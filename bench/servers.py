"""Servers to measure, each in a process of its own: started, looked at from outside, ended."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import msgspec

from bench.client import Figures, Plan

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build" / "bench"
LOG = BUILD / "servers.log"
_ADDRESS = re.compile(rb"https?://[^:/\s\"]+:(\d+)")
_PATIENCE_SECONDS = 60
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerProcess:
    """A server process.

    Args:
        command: starts it; it must say its address on standard output.
        environment: more variables.
        is_quiet: it does not say its address; what it prints goes to the log.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str] | None = None, *, is_quiet: bool = False
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        self.started_at = perf_counter()
        BUILD.mkdir(parents=True, exist_ok=True)
        with LOG.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**inherited, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log if is_quiet else subprocess.PIPE,
                stderr=log,
            )
        self.port = self._read_port()
        self.start_seconds = perf_counter() - self.started_at

    @property
    def rss_mib(self) -> float:
        """Its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) / 1024

    @property
    def processor_seconds(self) -> float:
        """The processor time it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait for it."""
        self.process.send_signal(how)
        try:
            self.process.communicate(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def _read_port(self) -> int:
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            address = _ADDRESS.search(line)
            if address is not None:
                return int(address[1])
        raise RuntimeError(f"{b''.join(lines).decode()}The end of {LOG} says more.")


@contextmanager
def floor(*options: str) -> Iterator[ServerProcess]:
    """The same server stack answering a constant."""
    server = ServerProcess([sys.executable, "-m", "bench.floor", *options])
    try:
        yield server
    finally:
        server.end(signal.SIGKILL)


@contextmanager
def penstock(store: Path | None = None, keys: str = "") -> Iterator[ServerProcess]:
    """Penstock, with its defaults, on a new store or on one that is there.

    Args:
        store: the database file; ``None``: a new one that is thrown away.
        keys: as in ``PENSTOCK_KEYS``.
    """
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        server = start_penstock(store or Path(folder) / "penstock.db", keys)
        try:
            yield server
        finally:
            server.end()


def start_penstock(store: Path | str, keys: str = "") -> ServerProcess:
    """Start Penstock on a database file, or on the store that a URL names."""
    url = store if isinstance(store, str) else f"sqlite:///{store}"
    command = [str(Path(sys.executable).with_name("penstock")), "serve", "--port", "0", "--store", url]
    return ServerProcess(command, {"PENSTOCK_KEYS": keys} if keys else None)


def load(plan: Plan) -> Figures:
    """Let a load client carry out a plan, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.client"],
        cwd=ROOT,
        input=msgspec.json.encode(plan),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode().strip().rsplit("\n", 1)[-1])
    return msgspec.json.decode(done.stdout, type=Figures)
