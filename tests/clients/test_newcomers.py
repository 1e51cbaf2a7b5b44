"""What newcomers are told to type, typed: the first job of the README, seen by way of the console, and the tutorial."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.clients.served import PATIENCE_SECONDS, Served, serving

ROOT = Path(__file__).resolve().parents[2]
ACTIVATES = ". .venv/bin/activate\n"


def boxes(document: str, title: str = "") -> list[str]:
    """Return the commands of a document, or of one of its sections."""
    text = (ROOT / document).read_text()
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0] if title else text
    return re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def typed(commands: list[str], server: Served, folder: Path) -> str:
    """Run commands in one shell, as they stand but for the address of the server, and return what they say."""
    assert commands[0].startswith(ACTIVATES)
    script = "".join(commands).removeprefix(ACTIVATES)
    assert "http://localhost:3000" in script
    done = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail", "-c", script.replace("http://localhost:3000", server.url)],
        env={
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PENSTOCK_URL": server.url,
        },
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=4 * PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tasks_in_the_console(server: Served, status: str) -> list[str]:
    """Return the tasks of the jobs with a status, as the console lists them."""
    asked = f"{server.url}/console/api/jobs"
    answer = httpx.get(asked, params={"status": status}, timeout=PATIENCE_SECONDS)
    return sorted(job["task"] for job in answer.raise_for_status().json()["jobs"])


def test_the_first_job_of_the_readme_is_seen_in_the_console(folder: Path) -> None:
    with serving(folder / "server") as server:
        said = typed(boxes("README.md", "Your first job in three minutes"), server, folder)
        assert "hello Ada" in said
        assert tasks_in_the_console(server, "succeeded") == ["shop.greet"]


@pytest.mark.timeout(200)
def test_the_tutorial_ends_well(folder: Path) -> None:
    with serving(folder / "server") as server:
        said = typed(boxes("docs/tutorial.md"), server, folder)
        succeeded, failed = (tasks_in_the_console(server, status) for status in ("succeeded", "failed"))
    for expected in ('{"customer": "Ada", "cents": 1200}', "hello Grace", "the card is refused", "order 2 is packed"):
        assert expected in said
    assert (succeeded, failed) == (["shop.greet"] * 2 + ["shop.pack"] * 2, ["shop.charge"])
