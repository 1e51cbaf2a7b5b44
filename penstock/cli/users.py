"""``penstock user``: people who log in to the console. Passwords are asked for, or read from standard input."""

import sys
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from penstock.cli.desk_calls import BY, call, users_in_store
from penstock.cli.output import print_json, print_table, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url, target
from penstock.server.directory.users import UserChange, UserView, UserWish

app = typer.Typer(
    help="Make, list, change and delete users of the console.", no_args_is_help=True, rich_markup_mode=None
)

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
def create(
    name: Name, allow: Allow, as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None
) -> None:
    """Make a user. Their password is asked for, or read from standard input."""
    wish, where = UserWish(name, tuple(allow), _password()), target(url, store, key)
    if store is not None:
        made: UserView = users_in_store(where, lambda users: users.create_user(wish, BY))
    else:
        made = msgspec.json.decode(call(where, "POST", "users", wish), type=UserView)
    _tell(made, f"Made {made.name}, who may {', '.join(made.allow)}.", as_json)


@app.command("list")
def list_users(as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None) -> None:
    """List the users."""
    where = target(url, store, key)
    if store is not None:
        users: tuple[UserView, ...] = users_in_store(where, lambda users: users.list_users())
    else:
        users = msgspec.json.decode(call(where, "GET", "users"), type=_Users).users
    if as_json:
        print_json(users)
    elif not users:
        say("There is no user.")
    else:
        print_table(("Name", "May", "Made by"), [(each.name, ", ".join(each.allow), each.created_by) for each in users])


@app.command("allow")
def allow(
    name: Name, allow: Allow, as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None
) -> None:
    """Set what a user may do, in place of what they may now."""
    changed = _change(name, UserChange(allow=tuple(allow)), url, store, key)
    _tell(changed, f"{changed.name} may {', '.join(changed.allow)}.", as_json)


@app.command("password")
def password(name: Name, as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None) -> None:
    """Set a user's password; their logins end."""
    changed = _change(name, UserChange(password=_password()), url, store, key)
    _tell(changed, f"{changed.name} has another password.", as_json)


@app.command("delete")
def delete(name: Name, as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None) -> None:
    """Delete a user; their logins end."""
    where = target(url, store, key)
    if store is not None:
        deleted: UserView = users_in_store(where, lambda users: users.delete_user(name))
    else:
        deleted = msgspec.json.decode(call(where, "DELETE", f"users/{quote(name, safe='')}"), type=UserView)
    _tell(deleted, f"Deleted {deleted.name}.", as_json)


def _change(name: str, change: UserChange, url: str | None, store: str | None, key: str | None) -> UserView:
    where = target(url, store, key)
    if store is not None:
        changed: UserView = users_in_store(where, lambda users: users.change_user(name, change))
        return changed
    return msgspec.json.decode(call(where, "PATCH", f"users/{quote(name, safe='')}", change), type=UserView)


def _password() -> str:
    if sys.stdin.isatty():
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")


def _tell(user: UserView, text: str, as_json: bool) -> None:
    if as_json:
        print_json(user)
    else:
        say(text)
