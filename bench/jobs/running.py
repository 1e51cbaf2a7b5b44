"""One contender at work: its jobs in a place of their own, its workers in processes that are looked at from outside."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

from bench.jobs.contenders import Contender
from bench.jobs.told import RAN, STARTED
from bench.servers import BUILD, LOG, ROOT, penstock
from tests.support.postgres import PostgresServer

PATIENCE_SECONDS = 100
BULLMQ_PACKAGES = ("bullmq@6.7.0", "ioredis@6.0.0")
BULLMQ_MODULES = BUILD / "peers" / "bullmq" / "node_modules"
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS = 0.002


class Place:
    """Where the jobs of one contender wait, and what they told.

    Args:
        contender: whose jobs.
        folder: for files, emptied before.
        url: of the store, server or Redis.
    """

    def __init__(self, contender: Contender, folder: Path, url: str) -> None:
        self.contender = contender
        self._folder = folder
        bin_folder = Path(sys.executable).parent if contender.is_ours else peers_venv() / "bin"
        self._bin = bin_folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        self._environment = {
            **inherited,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "BENCH_URL": url,
            "BENCH_FOLDER": str(folder),
            "BENCH_RESULT_SECONDS": str(contender.result_seconds),
            "RQ_REDIS_URL": url,
        }
        if contender.module == "bullmq":
            self._environment["BENCH_MODULES"] = str(bullmq_modules())

    def send(self, what: str, count: int = 0) -> float:
        """Send jobs in a process of its own and return how many seconds that took."""
        sender = self.contender.sender or (str(self._bin / "python"), "-m", "bench.jobs.sender", self.contender.module)
        command = [*sender, what, str(count)]
        done = subprocess.run(
            command,
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.contender.name} cannot send:\n{done.stderr}")
        return float(done.stdout.split()[-1])

    @contextmanager
    def working(self, command: tuple[str, ...]) -> "Iterator[Workers]":
        """Let workers work; they are killed in the end."""
        with LOG.open("ab") as log:
            process = subprocess.Popen(
                [shutil.which(command[0], path=self._environment["PATH"]) or command[0], *command[1:]],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        workers = Workers(process)
        try:
            yield workers
        finally:
            workers.kill()

    @property
    def ran(self) -> int:
        """How many jobs told that they ran."""
        file = self._folder / RAN
        return file.stat().st_size if file.exists() else 0

    def lines(self, name: str) -> list[str]:
        """What jobs told, line by line."""
        file = self._folder / name
        return file.read_text().splitlines() if file.exists() else []

    def until(self, holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait until something holds; return whether it does in time."""
        deadline = monotonic() + seconds
        while not holds():
            if monotonic() > deadline:
                return False
            sleep(_LOOK_SECONDS)
        return True

    def until_started(self, count: int) -> None:
        """Wait until so many jobs told when they started."""
        if not self.until(lambda: len(self.lines(STARTED)) >= count):
            raise RuntimeError(f"{self.contender.name} does not start what is sent; the end of {LOG} may say more.")


class Workers:
    """Worker processes: one that was started, and all that it started, in one session."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    @property
    def pids(self) -> list[int]:
        """All that live: those of the session, and what any of them started in one of its own."""
        parents: dict[int, int] = {}
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if fields[0] != "Z":
                    parents[int(entry.name)] = int(fields[1])
                    if int(fields[3]) == self._process.pid:
                        found.add(int(entry.name))
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found)

    @property
    def rss_mib(self) -> float:
        """Their resident memory, shared pages counted once for each."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    @property
    def processor_seconds(self) -> float:
        """The processor time they have used."""
        used = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            used += int(fields[11]) + int(fields[12])
        return used / _TICKS_PER_SECOND

    def kill(self) -> None:
        """Kill them all at once."""
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()


@contextmanager
def placed(contender: Contender) -> Iterator[Place]:
    """Give a contender an empty place."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=BUILD)))
        if contender.needs == "redis":
            url = stack.enter_context(redis(folder))
        elif contender.needs == "postgres":
            url = stack.enter_context(postgres())
        elif contender.needs == "server":
            url = f"http://127.0.0.1:{stack.enter_context(penstock()).port}"
        else:
            url = f"sqlite:///{folder / 'jobs.db'}" if contender.is_ours else str(folder / "jobs.db")
        yield Place(contender, folder, url)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Start a Redis that keeps nothing on disk; return its URL."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = monotonic() + PATIENCE_SECONDS
        while monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextmanager
def postgres() -> Iterator[str]:
    """Start a PostgreSQL that flushes to disk before it answers; return its URL."""
    server = PostgresServer(is_durable=True, shared_buffers="256MB")
    try:
        yield server.url
    finally:
        server.stop()


def bullmq_modules() -> Path:
    """Return the node modules of BullMQ, installed now if need be."""
    done = BULLMQ_MODULES / ".installed"
    if not done.exists():
        BULLMQ_MODULES.parent.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--prefix", str(BULLMQ_MODULES.parent), "--no-audit", "--no-fund", *BULLMQ_PACKAGES]
        subprocess.run(npm, check=True, capture_output=True)
        done.touch()
    return BULLMQ_MODULES


def peers_venv() -> Path:
    """Return the venv of the peers, made now if need be."""
    folder = BUILD / "peers" / "workers"
    done = folder / ".installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        wanted = Path(__file__).with_name("requirements.txt")
        subprocess.run([*pip, "--requirement", str(wanted)], check=True, cwd=ROOT)
        done.touch()
    return folder


def has_redis() -> bool:
    """Whether the peers can be measured here."""
    return shutil.which("redis-server") is not None
