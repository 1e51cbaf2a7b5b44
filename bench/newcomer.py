"""How long it takes from a clone to the first job seen in the console, by README alone: python -m bench.newcomer

Clones this repository, runs the commands of the README as they stand in a place of its own, and stops the clock when
the console lists the job. Reading and typing are not in it; port 3000 must be free.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET_SECONDS = 180
JOBS = "http://localhost:3000/console/api/jobs?status=succeeded"


def main() -> int:
    """Time it, say so, and return 0 if it was fast enough."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "penstock"
        began = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        section = (clone / "README.md").read_text().partition("## Your first job")[2].partition("\n## ")[0]
        commands = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        with subprocess.Popen(["make"], cwd=clone, env=kept, start_new_session=True) as serving:
            try:
                _until(lambda: _answers("http://localhost:3000/health/ready"), serving)
                ready = time.monotonic()
                subprocess.run(["bash", "-e", "-c", "".join(commands)], cwd=clone, env=kept, check=True)
                _until(lambda: b'"shop.greet"' in _answers(JOBS), serving)
                seen = time.monotonic()
            finally:
                os.killpg(serving.pid, signal.SIGTERM)
    found = {
        "served_seconds": round(ready - began, 1),
        "seen_seconds": round(seen - began, 1),
        "target": TARGET_SECONDS,
    }
    print(json.dumps(found))
    return int(seen - began > TARGET_SECONDS)


def _answers(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def _until(holds, serving: "subprocess.Popen[bytes]") -> None:  # type: ignore[no-untyped-def]
    while not holds():
        assert serving.poll() is None, "make has ended"
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
