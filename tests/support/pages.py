"""Runs the commands of a page of the documentation, word by word, with other places than it names."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import account, binary

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 60


class Page:
    """The ``console`` blocks of one part of a page.

    Args:
        path: of the page, from ``docs``.
        part: its heading.
        folder: where commands are run.
        places: what stands in the page, and what to use instead; each must stand there.
    """

    def __init__(self, path: str, part: str, folder: Path, places: dict[str, str]) -> None:
        text = (ROOT / "docs" / path).read_text().partition(f"\n## {part}\n")[2].partition("\n## ")[0]
        self.blocks = [
            [(line.partition("$ ")[0], line.partition("$ ")[2]) for line in block.splitlines()]
            for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        ]
        assert self.blocks, f"{path} has no commands under {part!r}"
        for named in places:
            assert named in text, f"{path}: {part} speaks of no {named}"
        self._folder = folder
        self._places = places

    def run(self, block: int) -> None:
        """Run the commands of a block; those that serve stay in the background until ``serving`` ends."""
        for user, command in self.blocks[block]:
            with (self._folder / "output").open("wb") as output:
                done = subprocess.run(
                    self._words(user, command), stdout=output, stderr=output, timeout=PATIENCE_SECONDS, **self._where()
                )
            said = (self._folder / "output").read_text()
            assert done.returncode == 0, f"{command}: {said}"
            # it ends with 0 whatever it was answered
            assert "redis-cli" not in command or not re.match(r"[A-Z]{3,} ", said), f"{command}: {said}"

    @contextmanager
    def serving(self, block: int, *, at: int, port: int = 0) -> Iterator[None]:
        """Run the commands of a block, with that one in the background; the rest when it takes connections."""
        commands = self.blocks[block]
        self.blocks.append(commands[:at])
        self.run(-1)
        process = subprocess.Popen(self._words(*commands[at]), stdout=subprocess.DEVNULL, **self._where())
        try:
            if port:
                wait_for_port(port)
            self.blocks.append(commands[at + 1 :])
            self.run(-1)
            yield
        finally:
            process.kill()
            process.wait()

    def _words(self, user: str, command: str) -> list[str]:
        for named, used in self._places.items():
            command = command.replace(named, used)
        words = shlex.split(command)
        if user and account() is not None:
            words = ["runuser", "-u", str(account()), "--", *words]
        return words

    def _where(self) -> dict[str, object]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        paths = [str(Path(sys.executable).parent), str(Path(binary("pg_ctl")).parent), os.environ["PATH"]]
        environment = {**kept, "PATH": os.pathsep.join(paths), "PENSTOCK_PORT": "0"}
        return {"cwd": self._folder, "env": environment}


def wait_for_port(port: int) -> None:
    """Return when something listens."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nothing listens at {port}"
        time.sleep(0.02)
