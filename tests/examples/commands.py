"""Runs examples as their READMEs say: the commands of ``console`` blocks, word by word, in a copy of the folder."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 60


class Example:
    """A copy of an example's folder.

    Args:
        name: of the folder in ``examples``.
        folder: an empty one, for the copy.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / name
        shutil.copytree(ROOT / "examples" / name, self.folder, ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
        readme = (self.folder / "README.md").read_text()
        blocks = re.findall(r"^```console\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
        self.commands = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }

    def run(self, command: str) -> str:
        """Run a command as a shell would and return what it printed."""
        done = subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(self, command: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Let a command run; it is asked to end, and must."""
        process = subprocess.Popen(shlex.split(command), cwd=self.folder, env=self._environment)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
