"""What README.md says, run against a real server: its examples in order, its paths, its flags and its store URLs."""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from penstock.store import open_store
from tests.clients.served import PATIENCE_SECONDS, Served, serving

PAGE = Path(__file__).resolve().parent.parent.parent / "README.md"
TEXT = PAGE.read_text()
EXAMPLES = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SETS_UP = "make          #"
"""What begins the one block that is not run: whoever runs this test has run it. The first job is test_newcomers'."""


@pytest.fixture
def server(folder: Path) -> Iterator[Served]:
    with serving(folder) as server:
        yield server


def test_the_examples_run_in_order(server: Served, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    ran = []
    for language, code in EXAMPLES:
        if code.startswith(SETS_UP) or ". .venv/bin/activate" in code:
            continue
        said = _python(code, server) if language == "python" else _bash(code, server, folder)
        assert "hello" in said, f"{code}\nsaid: {said}"
        ran.append(language)
    assert ran == ["python", "bash", "bash", "bash", "bash"], "an example is new: does it say hello?"


def _python(code: str, server: Served) -> str:
    assert "http://localhost:3000" in code
    with contextlib.redirect_stdout(io.StringIO()) as said:
        names: dict[str, object] = {}
        exec(compile(code.replace("http://localhost:3000", server.url), PAGE.name, "exec"), names)
    names["sqs"].close()  # type: ignore[attr-defined]
    return said.getvalue()


def _bash(code: str, server: Served, folder: Path) -> str:
    """Run commands as they stand: configuration leads curl and the command line to the server's own port."""
    port = server.url.rpartition(":")[2]
    (folder / ".curlrc").write_text(f'silent\nshow-error\nfail\nconnect-to = "localhost:3000:127.0.0.1:{port}"\n')
    done = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail", "-c", code],
        env={
            "HOME": str(folder),
            "CURL_HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "PENSTOCK_URL": server.url,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_a_received_message_is_deleted_by_the_address_that_is_told(server: Served) -> None:
    method, address = re.findall(r"`curl -X (\w+) localhost:3000(\S+)<receipt_handle>`", TEXT)[0]
    with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as http:
        http.post("/v1/queues", json={"queue": "orders"})
        http.post("/v1/queues/orders/messages", json={"messages": [{"body": "hello"}]})
        (delivery,) = http.post("/v1/queues/orders/receive", json={}).json()["deliveries"]
        assert delivery["visible_at"] - delivery["first_received_at"] == 30_000
        assert http.request(method, address + delivery["receipt_handle"]).status_code == 200
        counts = http.get("/v1/queues/orders").json()["queue"]["counts"]
    assert counts == {"ready": 0, "delayed": 0, "in_flight": 0}


def test_the_paths_that_are_named_answer(server: Served) -> None:
    paths = set(re.findall(r"`(/(?:v1|health|metrics)[\w./]*)`", TEXT)) - {"/v1"}
    assert paths == {"/v1/openapi.json", "/health/live", "/health/ready", "/metrics"}
    for path in paths:
        assert httpx.get(server.url + path, timeout=PATIENCE_SECONDS).status_code == 200, path


def test_an_error_has_a_code_and_a_hint(server: Served) -> None:
    problem = httpx.get(f"{server.url}/v1/queues/nowhere", timeout=PATIENCE_SECONDS).json()
    assert problem["code"] == "queue_not_found"
    assert problem["hint"]


def test_the_flags_that_are_listed_are_those_of_serve() -> None:
    listed = set(re.findall(r"`(--[a-z-]+)", TEXT.partition("## Configuration in brief")[2].partition("## More")[0]))
    assert len(listed) >= 8
    command = [Path(sys.executable).with_name("penstock"), "serve", "--help"]
    said = subprocess.run(command, capture_output=True, check=True, text=True, timeout=PATIENCE_SECONDS).stdout
    assert listed <= set(re.findall(r"--[a-z-]+", said))


async def test_the_stores_of_the_table_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    urls = re.findall(r"^\| `([a-z]+://\S*)`", TEXT, re.MULTILINE)
    assert len(urls) == 3
    for url in urls:
        store = await open_store(url)
        await store.check()
        await store.aclose()
