"""``penstock user``: people who log in to the console. Passwords are asked for, or read from standard input."""

import sys
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from penstock.cli.desk_calls import BY, call, users_in_store
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answers
from penstock.cli.target import At, Target
from penstock.server.directory.users import UserChange, UserView, UserWish

app = CommandGroup("Make, list, change and delete users of the console.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What they log in with.", show_default=False)]
Allow = Annotated[
    list[str],
    typer.Option(
        "--allow",
        metavar="ROLE[:PATTERN]",
        help="What they may do: view, send, receive, operate or admin, on the queues whose names match. Repeat it for "
        "more.",
    ),
]


class _Users(msgspec.Struct):
    users: tuple[UserView, ...]


@app.command("create")
def create(name: Name, allow: Allow, at: At, answer: Answers) -> None:
    """Make a user. Their password is asked for, or read from standard input."""
    wish = UserWish(name, tuple(allow), _password())
    if at.store is not None:
        made: UserView = users_in_store(
            at, lambda users: users.create_user(wish, BY), ("user create", name, ", ".join(allow))
        )
    else:
        made = msgspec.json.decode(call(at, "POST", "users", wish), type=UserView)
    answer(made, f"Made {made.name}, who may {', '.join(made.allow)}.")


@app.command("list")
def list_users(at: At, answer: Answers) -> None:
    """List the users."""
    if at.store is not None:
        users: tuple[UserView, ...] = users_in_store(at, lambda users: users.list_users())
    else:
        users = msgspec.json.decode(call(at, "GET", "users"), type=_Users).users
    answer.table(
        users,
        ("Name", "May", "Made by"),
        lambda: ((each.name, ", ".join(each.allow), each.created_by) for each in users),
        nothing="There is no user.",
    )


@app.command("allow")
def allow(name: Name, allow: Allow, at: At, answer: Answers) -> None:
    """Set what a user may do, in place of what they may now."""
    changed = _change(name, UserChange(allow=tuple(allow)), at)
    answer(changed, f"{changed.name} may {', '.join(changed.allow)}.")


@app.command("password")
def password(name: Name, at: At, answer: Answers) -> None:
    """Set a user's password; their logins end."""
    changed = _change(name, UserChange(password=_password()), at)
    answer(changed, f"{changed.name} has another password.")


@app.command("delete")
def delete(name: Name, at: At, answer: Answers) -> None:
    """Delete a user; their logins end."""
    if at.store is not None:
        deleted: UserView = users_in_store(at, lambda users: users.delete_user(name), ("user delete", name, ""))
    else:
        deleted = msgspec.json.decode(call(at, "DELETE", f"users/{quote(name, safe='')}"), type=UserView)
    answer(deleted, f"Deleted {deleted.name}.")


def _change(name: str, change: UserChange, at: Target) -> UserView:
    if at.store is not None:
        changed: UserView = users_in_store(at, lambda users: users.change_user(name, change), ("user change", name, ""))
        return changed
    return msgspec.json.decode(call(at, "PATCH", f"users/{quote(name, safe='')}", change), type=UserView)


def _password() -> str:
    if sys.stdin.isatty():
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")
