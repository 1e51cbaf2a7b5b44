"""`penstock encryption`, and a sealed store end to end: a server, a client of SQS, a worker and its jobs' results."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
import pytest

from penstock.store.sealed.opening import FILE_VARIABLE, VARIABLE
from tests.support.encryption import FIRST_KEY, SECOND_KEY, keyring

COMMAND = (sys.executable, "-c", "from penstock.cli.main import main; main()")
PATIENCE_SECONDS = 60
SECRET = "xyzzy-known-plaintext"

SHOP = """
import sys
from penstock import Penstock, current_job

app = Penstock(sys.argv[-1] if sys.argv[-1].startswith("http") else "sqlite:///penstock.db")

@app.task
def greet(name: str) -> str:
    current_job().progress(1, 2, f"greeting {name}")
    return f"hello {name}"

@app.task(max_attempts=1)
def fail(name: str) -> None:
    raise ValueError(f"no {name}")

if __name__ == "__main__":
    done, failed = greet.send(sys.argv[1]), fail.send(sys.argv[1])
    print(done.result(timeout_seconds=30))
    try:
        failed.result(timeout_seconds=30)
    except Exception as error:
        print(error)
"""


class Folder:
    """A folder with a store, and commands that run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "shop.py").write_text(SHOP)

    def run(self, *arguments: str, keys: str = "", status: int = 0, **more: str) -> str:
        """Run a command to its end; return what it said."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.path,
            env=environment(keys, more),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == status, done
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def server(self, keys: str) -> Iterator[str]:
        """Serve the store; gives the URL."""
        with (
            (self.path / "log").open("ab") as log,
            subprocess.Popen(
                [*COMMAND, "serve", "--port", "0", "--store", "sqlite:///penstock.db"],
                cwd=self.path,
                env=environment(keys, {}),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None
            found = re.search(r"http://[\d.:]+", process.stdout.readline())
            assert found is not None, (self.path / "log").read_text()
            try:
                yield found[0]
            finally:
                process.terminate()

    def kept(self) -> bytes:
        """Return what is in the files of the store."""
        return b"".join(path.read_bytes() for path in self.path.glob("penstock.db*") if path.is_file())


def environment(keys: str, more: Mapping[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return {**own, **({VARIABLE: keys} if keys else {}), **more}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_jobs_and_results_are_sealed_from_end_to_end(folder: Folder) -> None:
    with folder.server(FIRST_KEY) as url:
        sqs = boto3.client(
            "sqs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
        said = {"who": {"DataType": "String", "StringValue": SECRET}}
        sqs.send_message(QueueUrl=queue, MessageBody=SECRET, MessageAttributes=said)
        (message,) = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"]
        assert (message["Body"], message["MessageAttributes"]) == (SECRET, said)
        sqs.close()
        with subprocess.Popen(
            [*COMMAND, "work", "shop:app"],
            cwd=folder.path,
            env=environment(FIRST_KEY, {}),
            stderr=subprocess.DEVNULL,
        ) as worker:
            try:
                told = subprocess.run(
                    [sys.executable, "shop.py", SECRET, url],
                    cwd=folder.path,
                    env=environment("", {}),
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE_SECONDS,
                    check=True,
                ).stdout
            finally:
                worker.terminate()
        assert f"hello {SECRET}" in told
        assert f"no {SECRET}" in told
        metrics = httpx.get(f"{url}/metrics").text
        assert SECRET.encode() not in folder.kept(), "with its log, while it is open"
    assert SECRET.encode() not in folder.kept()
    shown = folder.run("job", "list", "--store", "sqlite:///penstock.db", "--json", keys=FIRST_KEY)
    assert SECRET in shown
    for secret in (FIRST_KEY, FIRST_KEY[:12]):
        assert secret not in metrics + (folder.path / "log").read_text() + shown


def test_a_key_is_made_that_can_be_used(folder: Folder) -> None:
    made = folder.run("encryption", "key")
    key, said = made.splitlines()
    (key_id,) = keyring(key).ids
    assert key_id in said
    assert folder.run("encryption", "key") != made


def test_a_store_is_brought_under_a_key_and_another_one(folder: Folder) -> None:
    store = ("--store", "sqlite:///penstock.db")
    with folder.server("") as url:
        folder.run("queue", "create", "orders", "--url", url)
        folder.run("send", "orders", SECRET, "--url", url)
    with folder.server(FIRST_KEY) as url:
        folder.run("send", "orders", "sealed", "--url", url)
        (first,), (second,) = keyring(FIRST_KEY).ids, keyring(SECOND_KEY).ids
        counts = json.loads(folder.run("encryption", "status", *store, "--json", keys=FIRST_KEY))
        assert counts["messages"] == {"clear": 1, first: 1}
        table = folder.run("encryption", "reseal", *store, keys=FIRST_KEY)
        assert re.search(rf"{first} +2 ", table)
        assert "clear" not in table
        peeked = folder.run("message", "peek", "orders", "--url", url)
        assert SECRET in peeked
    (folder.path / "keys").write_text(f"{SECOND_KEY}\n{FIRST_KEY}")
    rotated = folder.run("encryption", "reseal", *store, **{FILE_VARIABLE: "keys"})
    assert re.search(rf"{second} +2 ", rotated)
    assert "sealed" in folder.run("message", "peek", "orders", *store, keys=SECOND_KEY)
    assert f"sealed with key {second}" in folder.run("message", "peek", "orders", *store, keys=FIRST_KEY, status=5)


def test_what_is_wrong_with_keys_is_said_before_anything_is_done(folder: Folder) -> None:
    store = ("--store", "sqlite:///penstock.db")
    with folder.server(FIRST_KEY):
        pass
    (first,) = keyring(FIRST_KEY).ids
    assert f"sealed with key {first}" in folder.run("serve", "--port", "0", *store, status=5)
    for command in (("check", *store), ("check", *store, "--json")):
        refused = folder.run(*command, status=1)
        assert f"sealed with key {first}" in refused
        assert VARIABLE in refused
    assert f"content is sealed with key {first}" in folder.run("check", *store, keys=FIRST_KEY)
    assert "new content is kept in the clear" in folder.run("check", *store, keys=f"clear {FIRST_KEY}")
    folder.run("queue", "list", *store, keys=f"{SECOND_KEY},{FIRST_KEY}")
    warned = folder.run("check", *store, keys=SECOND_KEY)
    assert f"some may be sealed with {first}, which is not given here" in warned
    wrong = folder.run("check", *store, keys="no key at all", status=1)
    assert "is not 32 bytes in base64" in wrong
    assert "no key at all" not in wrong
    assert "There is no store" in folder.run("encryption", "status", "--store", "sqlite:///none.db", status=4)
    folder.run("queue", "create", "orders", "--store", "sqlite:///new.db", status=4)
    assert "off" in folder.run("check", "--store", "sqlite:///new.db")


def test_a_backup_and_a_store_moved_to_need_the_same_keys(folder: Folder) -> None:
    store = ("--store", "sqlite:///penstock.db")
    with folder.server(FIRST_KEY) as url:
        folder.run("queue", "create", "orders", "--url", url)
        folder.run("send", "orders", SECRET, "--url", url)
        folder.run("backup", "backup.db", *store)
    assert SECRET.encode() not in (folder.path / "backup.db").read_bytes()
    folder.run("migrate", "--from", "sqlite:///penstock.db", "--to", "sqlite:///moved.db")
    for file in ("backup.db", "moved.db", "penstock.db"):
        there = ("message", "peek", "orders", "--store", f"sqlite:///{file}")
        assert SECRET in folder.run(*there, keys=FIRST_KEY)
        assert "sealed with key" in folder.run(*there, status=5)
