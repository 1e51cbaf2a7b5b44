"""``penstock user``, in this process: on a store directly and through a server, with the same words."""

import pytest

from penstock.server.directory import passwords
from tests.cli.test_commands import Terminal
from tests.cli.test_key_commands import _elsewhere, terminal

__all__ = ["_elsewhere", "terminal"]

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", (1 << 4, 8, 1))


def test_a_user_is_made_listed_changed_and_deleted(terminal: Terminal) -> None:
    said = terminal("user", "create", "vera", "--allow", "view:orders-*", stdin=f"{PASSWORD}\n")
    assert said == "Made vera, who may view:orders-*.\n"
    assert terminal("user", "allow", "vera", "--allow", "operate") == "vera may operate:*.\n"
    (listed,) = terminal.json("user", "list")
    assert (listed["name"], listed["allow"]) == ("vera", ["operate:*"])
    terminal("user", "password", "vera", stdin="another long password\n")
    (changed,) = terminal.json("user", "list")
    assert changed["password_at"] > listed["password_at"]
    assert "scrypt" not in terminal("user", "list", "--json")
    assert terminal("user", "delete", "vera") == "Deleted vera.\n"
    assert terminal("user", "list") == "There is no user.\n"


def test_what_cannot_be_is_told(terminal: Terminal) -> None:
    for arguments, stdin, words in (
        (("create", "vera", "--allow", "view"), "short\n", "12 to 256 characters"),
        (("create", "a b", "--allow", "view"), f"{PASSWORD}\n", "A name has"),
        (("create", "vera", "--allow", "lead"), f"{PASSWORD}\n", "is no role"),
        (("password", "nobody"), f"{PASSWORD}\n", "There is no user 'nobody'"),
        (("delete", "nobody"), "", "There is no user 'nobody'"),
    ):
        result = terminal.run("user", *arguments, stdin=stdin)
        assert result.exit_code == 1
        assert words in result.stderr
    assert terminal.json("user", "list") == []
