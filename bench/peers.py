"""Other SQS servers that install from PyPI, measured the same way in the same run, each in a throwaway venv."""

import os
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from msgspec import Struct

from bench.client import Plan
from bench.figures import Figure, figure_of
from bench.measuring import Pace, Side, about, compare
from bench.servers import BUILD, ROOT, ServerProcess, penstock

_PATIENCE_SECONDS = 60


class Peer(Struct, frozen=True):
    """Another server.

    Attributes:
        name: for people.
        package: what pip installs.
        command: what starts it, in its venv; ``{port}`` is filled in.
        environment: more variables; ``{port}`` is filled in.
    """

    name: str
    package: str
    command: tuple[str, ...]
    environment: dict[str, str] = {}


PEERS = (
    Peer("moto", "moto[server]", ("moto_server", "-H", "127.0.0.1", "-p", "{port}")),
    Peer("ministack", "ministack", ("ministack",), {"GATEWAY_PORT": "{port}", "PORT": "{port}"}),
)


def peers(pace: Pace) -> list[Figure]:
    """Single sends and batches of 10: Penstock by each peer."""
    figures = []
    for peer in PEERS:
        try:
            folder = _installed(peer)
        except subprocess.CalledProcessError:
            print(f"{peer.package} cannot be installed here.", file=sys.stderr)
            continue

        @contextmanager
        def serving(peer: Peer = peer, folder: Path = folder) -> Iterator[ServerProcess]:
            server = PeerProcess(peer, folder)
            try:
                yield server
            finally:
                server.end(signal.SIGTERM)

        for what, script, target in (("send, singles", "send", ">= 5"), ("send, tens", "send_batch", ">= 2")):
            # moto knows by the signature which service is meant; it needs some seconds to answer enough
            plan = Plan(port=0, script=script, seconds=max(pace.seconds, 2), warm_up_seconds=1, is_signed=True)
            pairs = compare(f"{what}, {peer.name}", Side(serving, plan), Side(penstock, plan), pace)
            ratios = [each.other.messages / each.base.messages for each in pairs]
            rate = sum(each.base.messages for each in pairs) / len(pairs)
            detail = f"{peer.name} {rate:,.0f} msg/s; Penstock {about(pairs)}"
            figures.append(figure_of(f"{what}, Penstock by {peer.name}", ratios, f"x {peer.name}", target, detail))
    return figures


class PeerProcess(ServerProcess):
    """A peer's server process, on a port chosen for it."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self._chosen = _free_port()
        command = [part.format(port=self._chosen) for part in peer.command]
        environment = {name: value.format(port=self._chosen) for name, value in peer.environment.items()}
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        super().__init__([str(folder / "bin" / command[0]), *command[1:]], {"PATH": path, **environment}, is_quiet=True)

    def _read_port(self) -> int:
        deadline = monotonic() + _PATIENCE_SECONDS
        while monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._chosen)) == 0:
                    return self._chosen
            sleep(0.05)
        raise RuntimeError(f"{self.process.args} does not serve.")


def _installed(peer: Peer) -> Path:
    """Return the venv of a peer, made now if need be."""
    folder = BUILD / "peers" / peer.name
    done = folder / ".installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, peer.package], check=True, cwd=ROOT)
        done.touch()
    return folder


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])
