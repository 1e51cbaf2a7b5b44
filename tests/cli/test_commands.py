"""The commands, in this process: on a store directly and through a server."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from penstock.cli.main import app
from penstock.cli.statuses import FAILED, NOT_FOUND, REFUSED, UNREACHABLE, WRONG_USE
from penstock.server.options import Key
from penstock.store import open_store
from tests.support.server import running_server

KEY = Key("AKIDTEST", "a secret of some length")


class Terminal:
    """Runs commands on one target."""

    def __init__(self, *target: str) -> None:
        self.target = target

    def run(self, *arguments: str, stdin: str = "") -> Result:
        result = CliRunner().invoke(app, [*arguments, *self.target], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    def fails(self, *arguments: str, status: int = 1) -> str:
        result = self.run(*arguments)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result.stderr


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("PENSTOCK_URL", "PENSTOCK_KEY", "PENSTOCK_CONFIG", "PORT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(params=["store", "server"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    store = f"sqlite:////{tmp_path}/penstock.db"
    if request.param == "store":
        asyncio.run(_made(store))
        yield Terminal("--store", store)
    else:
        with _served(store) as url:
            yield Terminal("--url", url, "--key", f"{KEY.access_key_id}:{KEY.secret}")


async def _made(url: str) -> None:
    await (await open_store(url)).aclose()


class _served:  # noqa: N801
    """A server in a thread of its own, so that commands may run event loops in this one."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._url = ""
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> str:
        self._thread.start()
        assert self._is_up.wait(10)
        return self._url

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        store = await open_store(self._store)
        async with running_server(store, keys=(KEY,)) as url:
            self._url = url
            self._is_up.set()
            await self._stop.wait()
        await store.aclose()


def test_a_message_goes_through_a_queue(terminal: Terminal) -> None:
    assert terminal("queue", "create", "orders") == "Created orders.\n"
    assert terminal("queue", "create", "orders") == "orders is there already, as wanted.\n"
    assert len(terminal("send", "orders", "one", "two").split()) == 2
    assert terminal("receive", "orders", "--max", "10", "--delete") == "one\ntwo\n"
    result = terminal.run("receive", "orders")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "There is nothing to receive.\n")


def test_a_queue_of_partitions_is_one_queue(terminal: Terminal) -> None:
    made = terminal("queue", "create", "orders", "--partitions", "8", "--partitioner", "qugo:4")
    assert made == "Created orders.\n"
    shown = terminal("queue", "show", "orders")
    assert "partitions" in shown
    assert "qugo:4" in shown
    terminal("send", "orders", "one", "--group", "5")
    said = terminal.fails("send", "orders", "two", "--group", "five")
    assert "only integers" in said
    assert terminal("receive", "orders#5", "--delete") == "one\n"
    assert "standard, 8 partitions" in terminal("queue", "list")
    assert terminal.json("queue", "list")[0]["name"] == "orders"
    assert "multiple of 4" in terminal.fails("queue", "create", "b", "--partitions", "6", "--partitioner", "qugo:4")
    terminal("queue", "delete", "orders", "--yes")
    assert "There is no queue" in terminal("queue", "list")


def test_what_is_received_but_not_deleted_stays(terminal: Terminal) -> None:
    terminal("queue", "create", "orders")
    terminal("send", "orders", "one")
    (delivery,) = terminal.json("receive", "orders", "--visibility-timeout", "0.001")["deliveries"]
    assert delivery["body"] == "one"
    assert terminal("receive", "orders", "--wait", "5") == "one\n"
    assert terminal.json("queue", "show", "orders")["counts"]["in_flight"] == 1


def test_messages_come_from_standard_input(terminal: Terminal) -> None:
    terminal("queue", "create", "orders")
    terminal("send", "orders", stdin="a\nb\n")
    terminal("send", "orders", "-", stdin="c")
    terminal("send", "orders", "--lines", stdin="d\ne\n")
    bodies = [each["body"] for each in terminal.json("receive", "orders", "--max", "10")["deliveries"]]
    assert bodies == ["a\nb\n", "c", "d", "e"]


def test_a_message_is_sent_with_all_it_needs(terminal: Terminal) -> None:
    terminal("queue", "create", "steps.fifo")
    details = ("--group", "g", "--deduplication-id", "d", "--attribute", "kind=order=x")
    terminal("send", "steps.fifo", "one", *details)
    assert "(duplicate)" in terminal("send", "steps.fifo", "one", *details)
    (delivery,) = terminal.json("receive", "steps.fifo")["deliveries"]
    assert delivery["attributes"]["kind"]["string_value"] == "order=x"
    assert delivery["group_id"] == "g"
    terminal("queue", "create", "later")
    terminal("send", "later", "x", "--delay", "100")
    assert terminal.json("queue", "show", "later")["counts"]["delayed"] == 1


def test_queues_are_listed_shown_purged_and_deleted(terminal: Terminal) -> None:
    assert terminal("queue", "list") == "There is no queue.\n"
    terminal("queue", "create", "orders", "--dead-letter-queue", "dead", "--max-receive-count", "3")
    terminal("queue", "create", "other")
    terminal("send", "orders", "one")
    listed = terminal("queue", "list")
    assert "dead after 3" in listed
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [["orders", "1"], ["other", "0"]]
    assert [each["name"] for each in terminal.json("queue", "list", "oth")] == ["other"]
    assert "to dead after 3 deliveries" in terminal("queue", "show", "orders")
    assert terminal("queue", "purge", "orders", "--yes") == "Purged orders: 1 messages.\n"
    assert terminal.json("queue", "delete", "orders", "--yes") == {"deleted": "orders"}
    assert "orders" not in terminal("queue", "list")


def test_what_destroys_asks_first(terminal: Terminal) -> None:
    terminal("queue", "create", "orders")
    assert terminal.run("queue", "delete", "orders", stdin="n\n").exit_code == 1
    assert "orders" in terminal("queue", "list")
    assert terminal.run("queue", "delete", "orders", stdin="y\n").exit_code == 0


def test_errors_are_one_line_with_a_hint(terminal: Terminal) -> None:
    terminal("queue", "create", "orders")
    assert terminal.fails("queue", "show", "nowhere", status=NOT_FOUND) == (
        "penstock: There is no queue 'nowhere'. Create it, or mind its spelling.\n"
    )
    assert terminal.fails("send", "nowhere", "x", status=NOT_FOUND).count("\n") == 1
    assert terminal.fails("receive", "nowhere", status=NOT_FOUND).count("\n") == 1
    for failing in (
        ("queue", "create", "orders", "--delay", "9"),
        ("queue", "create", "???"),
        ("receive", "orders", "--max", "0"),
        ("send", "orders", "x" * 1_100_000),
        ("send", "orders", "x", "--priority", "77"),
    ):
        assert terminal.fails(*failing).count("\n") == 1, failing


@pytest.mark.parametrize(
    "arguments",
    [
        ("queue", "create"),
        ("receive", "orders", "--max", "many"),
        ("send", "orders", "x", "--attribute", "novalue"),
        ("queue", "list", "--nonsense"),
        ("queue", "create", "orders", "--max-receive-count", "3"),
        ("queue", "create", "orders", "--history", "some"),
    ],
)
def test_wrong_use_is_status_2(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    terminal.fails(*arguments, status=WRONG_USE)


def test_a_server_that_is_not_there_is_a_plain_error() -> None:
    message = Terminal("--url", "http://127.0.0.1:1").fails("queue", "list", status=UNREACHABLE)
    assert message.startswith("penstock: ")
    assert message.count("\n") == 1


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for store, status in (("sqlite:///nowhere.db", UNREACHABLE), ("memory://", FAILED), ("mysql://x", FAILED)):
        assert Terminal("--store", store).fails("queue", "list", status=status).startswith("penstock: ")
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_needed_where_the_server_asks_for_one(tmp_path: Path) -> None:
    store = f"sqlite:////{tmp_path}/penstock.db"
    with _served(store) as url:
        assert "penstock: " in Terminal("--url", url).fails("queue", "list", status=REFUSED)
        wrong = Terminal("--url", url, "--key", "AKIDTEST:wrong")
        assert "penstock: " in wrong.fails("queue", "list", status=REFUSED)


# -- check and version ---------------------------------------------------------------------------------------------


def findings(*arguments: str, status: int = 0) -> dict[str, str]:
    result = Terminal().run("check", "--json", *arguments)
    assert result.exit_code == status, result.output
    return {each["what"]: each["verdict"] for each in json.loads(result.stdout)}


def test_check_finds_a_good_configuration_good(tmp_path: Path) -> None:
    found = findings("--port", "0")
    assert set(found) == {"configuration", "access", "store", "disk", "address", "connections"}
    assert set(found.values()) == {"ok"}
    assert list(tmp_path.iterdir()) == [], "it only looks"


def test_check_writes_to_a_store_that_is_there() -> None:
    asyncio.run(_made("sqlite:///good.db"))
    Path("bad.db").write_bytes(b"this is no database" * 1000)
    assert findings("--port", "0", "--store", "sqlite:///good.db")["store"] == "ok"
    assert findings("--port", "0", "--store", "sqlite:///bad.db", status=1)["store"] == "failed"


def test_check_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("penstock.toml").write_text(
        "port = 0\ntls_certificate = 'no.pem'\ntls_key = 'no.pem'\n[[keys]]\naccess_key_id='weak'\nsecret='password'"
    )
    found = findings(status=1)
    assert (found["key weak"], found["tls"]) == ("warning", "failed")
    text = Terminal().run("check").stdout
    assert "-> Make one with `openssl rand -base64 30`." in text
    Path("penstock.toml").write_text("prot = 1")
    assert findings(status=1) == {"configuration": "failed"}
    assert "-> Did you mean port?" in Terminal().run("check").stdout
    Path("penstock.toml").write_text("port = 0")
    assert findings("--host", "0.0.0.0", status=1)["access"] == "failed"
    assert findings("--host", "0.0.0.0", "--no-auth")["access"] == "warning"


def test_check_tells_a_penstock_from_a_stranger_on_the_port(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        assert findings("--port", port, status=1)["address"] == "failed"
    with _served(f"sqlite:////{tmp_path}/penstock.db") as url:
        assert findings("--port", url.rpartition(":")[2])["address"] == "ok"


def test_version_tells_what_it_runs_on() -> None:
    assert set(json.loads(Terminal()("version", "--json"))) == {"penstock", "python", "sqlite"}
    assert Terminal()("version").startswith("penstock ")
