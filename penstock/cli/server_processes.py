"""Several processes that serve one port, under a supervisor.

Each has a listening socket of its own on the port, between which the system spreads connections. The supervisor keeps
them open: what was waiting to be accepted by a process that died is accepted by the one that takes its place. While
that waits for its turn to start, because the last one did not live long, its socket is away, so that no connection is
given to nobody.
"""

import asyncio
import json
import logging
import shutil
import socket
import sys
import tempfile

import msgspec
from msgspec import structs

from penstock.cli.server_process import ProcessSettings
from penstock.cli.serving import announce, cannot_listen
from penstock.cli.supervising import DONE, FAILED, Supervisor
from penstock.config import Settings
from penstock.server.options import ServerOptions

log = logging.getLogger("penstock.serve")

SPREADS = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")
"""Elsewhere such sockets are not all given connections: the processes accept from one."""

BACKLOG = ServerOptions().backlog


def supervise(settings: Settings) -> int:
    """Have processes serve until a signal comes; return the exit status. Raises CannotListen."""
    folder = tempfile.mkdtemp(prefix="penstock-serve-")
    try:
        return asyncio.run(_run(settings, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(settings: Settings, folder: str) -> int:
    try:
        ports = Ports(settings.host, settings.port, settings.processes)
    except OSError as error:
        raise cannot_listen(error, settings) from None
    return await ServerProcesses(settings, ports, folder).run()


class Ports:
    """The listening sockets of all processes.

    Args:
        host: address or name; every address it has is listened on.
        port: 0 lets the system choose.
        count: how many processes.

    Raises:
        OSError: the address cannot be had.
    """

    def __init__(self, host: str, port: int, count: int) -> None:
        self._addresses: list[tuple[socket.AddressFamily, tuple[str | int, ...]]] = []
        self._first: list[socket.socket] = []
        for family, _, _, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            # bound alone, and shared after that: a port that another server shares among its processes is not ours
            first = _bound(family, (address[0], port, *address[2:]), is_shared=False)
            port = first.getsockname()[1]
            if SPREADS:
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            first.listen(BACKLOG)
            self._addresses.append((family, (address[0], port, *address[2:])))
            self._first.append(first)
        self._sockets = [self._first, *([] for _ in range(count - 1))]

    def of(self, index: int) -> tuple[int, ...]:
        """Return the files of the sockets of a process; now it listens."""
        if not SPREADS:
            return tuple(each.fileno() for each in self._first)
        if not self._sockets[index]:
            self._sockets[index] = [_bound(*each, is_shared=True) for each in self._addresses]
            for each in self._sockets[index]:
                each.listen(BACKLOG)
        return tuple(each.fileno() for each in self._sockets[index])

    def close(self, index: int) -> None:
        """Give a process no more connections."""
        if SPREADS:
            for each in self._sockets[index]:
                each.close()
            self._sockets[index] = []

    def close_all(self) -> None:
        """Let go: now the processes alone listen."""
        for some in self._sockets:
            for each in some:
                each.close()


class ServerProcesses(Supervisor):
    """Watches server processes.

    Args:
        settings: of each.
        ports: what they listen on.
        folder: where they tell each other their figures.
    """

    def __init__(self, settings: Settings, ports: Ports, folder: str) -> None:
        super().__init__("server process", "penstock.cli.server_process", settings.processes, log, reads_output=True)
        self._settings = settings
        self._ports = ports
        self._folder = folder
        self._serving: set[int] = set()
        self._have_served = False

    def settings_of(self, index: int, parent_pid: int) -> bytes:
        return msgspec.json.encode(
            ProcessSettings(
                settings=structs.replace(self._settings, processes=1),
                index=index,
                parent_pid=parent_pid,
                files=self._ports.of(index),
                folder=self._folder,
                declares_queues=index == 0 and not self._have_served,
            )
        )

    def files_of(self, index: int) -> tuple[int, ...]:
        return self._ports.of(index)

    async def started(self, index: int, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            return
        log.info("server process %d (pid %d) serves", index, process.pid)
        self._serving.add(index)
        if len(self._serving) == self._settings.processes and not self._have_served:
            self._have_served = True
            announce({**json.loads(line), "processes": self._settings.processes}, self._settings)

    async def ended(self, index: int, status: int) -> bool | None:
        if not self._have_served and status != DONE and index not in self._serving:
            self.end(FAILED if status < 0 else status)  # it said why it cannot start
            return True
        return None

    def pausing(self, index: int) -> None:
        self._ports.close(index)

    def ending(self) -> None:
        self._ports.close_all()


def _bound(family: int, address: tuple[str | int, ...], *, is_shared: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened
