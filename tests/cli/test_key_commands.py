"""``penstock key``, in this process: on a store directly and through a server, with the same words."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.cli.statuses import FAILED, NOT_FOUND, REFUSED, UNREACHABLE, WRONG_USE
from penstock.store import open_store
from penstock.testing import server
from tests.cli.test_commands import Terminal

MASTER = "a master key of more than thirty-two characters"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("PENSTOCK_URL", "PENSTOCK_KEY", "PENSTOCK_CONFIG", "PORT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PENSTOCK_MASTER_KEY", MASTER)


@pytest.fixture(params=["store", "server"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    store = f"sqlite:////{tmp_path}/penstock.db"
    if request.param == "store":

        async def make() -> None:
            await (await open_store(store)).aclose()

        asyncio.run(make())
        yield Terminal("--store", store)
    else:
        with server(store, keys={"ADMIN": "the secret of the admin"}, master_keys=(MASTER,)) as running:
            yield Terminal("--url", running.url, "--key", "ADMIN:the secret of the admin")


def test_a_key_is_made_listed_rotated_and_revoked(terminal: Terminal) -> None:
    said = terminal(
        "key", "create", "--allow", "operate:orders-*", "--allow", "view", "--name", "shop", "--note", "web"
    )
    lines = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert len(lines["AWS_SECRET_ACCESS_KEY"]) == 40
    (listed,) = terminal.json("key", "list")
    assert listed["key_id"] == lines["AWS_ACCESS_KEY_ID"]
    assert (listed["name"], listed["allow"], listed["status"]) == ("shop", ["operate:orders-*", "view:*"], "active")
    assert lines["AWS_SECRET_ACCESS_KEY"] not in terminal("key", "list")

    fresh = terminal.json("key", "rotate", listed["key_id"], "--grace", "1h")
    assert fresh["secret"] != lines["AWS_SECRET_ACCESS_KEY"]
    old, new = terminal.json("key", "list")
    assert (old["status"], old["replaced_by"], new["status"]) == ("ending", new["key_id"], "active")

    assert "Revoked" in terminal("key", "revoke", old["key_id"])
    assert [each["status"] for each in terminal.json("key", "list")] == ["revoked", "active"]


def test_what_was_done_with_keys_is_in_the_audit_log(terminal: Terminal) -> None:
    key_id = terminal.json("key", "create", "--allow", "view", "--name", "shop")["key"]["key_id"]
    terminal("key", "revoke", key_id)
    assert [each["action"] for each in terminal.json("audit")] == ["key revoke", "key create"]
    assert [each["target"] for each in terminal.json("audit", "--on", key_id)] == [key_id] * 2
    assert "key revoke" in terminal("audit", "--limit", "1")
    assert terminal("audit", "--who", "nobody") == "Nothing was noted.\n"


def test_a_key_may_last_a_while(terminal: Terminal) -> None:
    key = terminal.json("key", "create", "--allow", "send:orders", "--expires", "90d")["key"]
    assert key["expires_at"] - key["created_at"] == 90 * 86_400_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "--allow", "lead"), "is no role"),
        (("create", "--allow", "view:a queue"), "matches no queue"),
        (("create", "--allow", "view", "--expires", "soon"), "no duration"),
        (("create", "--allow", "view", "--account", "me"), "twelve digits"),
        (("rotate", "NOKEY"), "There is no key 'NOKEY'"),
        (("revoke", "NO KEY"), "There is no key"),
    ],
)
def test_what_cannot_be_is_told_and_makes_no_key(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    status = {"no duration": WRONG_USE, "There is no key": NOT_FOUND}.get(words.partition(" 'NOKEY'")[0], FAILED)
    assert words in terminal.fails("key", *arguments, status=status)
    assert terminal.json("key", "list") == []


def test_the_first_key_says_what_it_changes(tmp_path: Path) -> None:
    store = f"sqlite:////{tmp_path}/penstock.db"
    with server(store, master_keys=(MASTER,)) as running:
        terminal = Terminal("--url", running.url)
        assert "make no others" in terminal.fails("key", "create", "--allow", "view")
        assert "from now on" in terminal("key", "create", "--allow", "admin")
        assert "Authentication" in terminal.fails("key", "list", status=REFUSED)


def test_a_server_that_is_not_there_is_told() -> None:
    assert "cannot be reached" in Terminal("--url", "http://127.0.0.1:1").fails("key", "list", status=UNREACHABLE)
