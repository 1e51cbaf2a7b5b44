"""``penstock key``: make, list, rotate and revoke keys that the store keeps."""

import re
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from penstock.cli.desk_calls import BY, call, in_store
from penstock.cli.output import print_json, print_table, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url, target
from penstock.core.errors import InvalidRequest
from penstock.server.directory.shapes import Grace, KeyView, KeyWish, NewKey

app = typer.Typer(
    help="Make, list, rotate and revoke keys: one kind for AWS SDKs, REST, the console and workers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="Its public half.", show_default=False)]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


class _Keys(msgspec.Struct):
    keys: tuple[KeyView, ...]


@app.command("create")
def create(
    allow: Annotated[
        list[str],
        typer.Option(
            "--allow",
            metavar="ROLE[:PATTERN]",
            help="What it may do: view, send, receive, operate or admin, on the queues whose names match. Repeat it "
            "for more.",
        ),
    ],
    name: Annotated[str, typer.Option(help="Whose it is; queue policies know it by that. [default: its id]")] = "",
    account: Annotated[str | None, typer.Option(help="Twelve digits. [default: the server's]")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Such as 90d, 12h. [default: until it is revoked]")
    ] = None,
    note: Annotated[str, typer.Option(help="Your own words, such as where it is used.")] = "",
    as_json: Json = False,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Make a key. Its secret is shown once and kept nowhere."""
    seconds = None if expires is None else seconds_in(expires, "expires")
    wish = KeyWish(tuple(allow), name=name, account=account, expires_seconds=seconds, note=note)
    where = target(url, store, key)
    if store is not None:
        made: NewKey = in_store(where, lambda directory: directory.create_key(wish, BY))
    else:
        made = msgspec.json.decode(call(where, "POST", "keys", wish), type=NewKey)
    _show(made, as_json)
    if made.is_first and not as_json:
        say("This is the first key: from now on servers on this store ask for one, unless told --no-auth.")


@app.command("list")
def list_keys(as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None) -> None:
    """List the keys that the store keeps, also those that ended in the last 90 days; never a secret."""
    where = target(url, store, key)
    if store is not None:
        keys: tuple[KeyView, ...] = in_store(where, lambda directory: directory.list_keys())
    else:
        keys = msgspec.json.decode(call(where, "GET", "keys"), type=_Keys).keys
    if as_json:
        print_json(keys)
    elif not keys:
        say("There is no key in the store.")
    else:
        rows = [
            (each.key_id, each.name, each.status, ", ".join(each.allow), instant(each.expires_at), each.note)
            for each in keys
        ]
        print_table(("Key id", "Name", "Status", "May", "Until", "Note"), rows)


@app.command("rotate")
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(metavar="DURATION", help="How long the old one is still accepted.")] = "7d",
    as_json: Json = False,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Make a key that may do the same, and let the old one end after a while."""
    wanted, where = Grace(seconds_in(grace, "grace")), target(url, store, key)
    if store is not None:
        made: NewKey = in_store(where, lambda directory: directory.rotate_key(key_id, wanted, BY))
    else:
        made = msgspec.json.decode(call(where, "POST", f"keys/{quote(key_id, safe='')}/rotate", wanted), type=NewKey)
    _show(made, as_json)
    if not as_json:
        say(f"{key_id} is accepted for {grace} longer.")


@app.command("revoke")
def revoke(key_id: KeyId, as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None) -> None:
    """End a key: servers refuse it within seconds."""
    where = target(url, store, key)
    if store is not None:
        revoked: KeyView = in_store(where, lambda directory: directory.revoke_key(key_id, BY))
    else:
        revoked = msgspec.json.decode(call(where, "POST", f"keys/{quote(key_id, safe='')}/revoke"), type=KeyView)
    if as_json:
        print_json(revoked)
    else:
        say(f"Revoked {revoked.key_id} ({revoked.name}).")


def seconds_in(text: str, field: str) -> float:
    """Return the seconds of a duration such as ``90d``, ``12h``, ``30m`` or ``45``. Raises InvalidRequest."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidRequest(f"{text!r} is no duration.", hint="Write 90d, 12h, 30m or 45s.", field=field)
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def instant(at: int | None) -> str:
    """Return an instant as it is shown."""
    return "" if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _show(made: NewKey, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    say(f"AWS_ACCESS_KEY_ID={made.key.key_id}")
    say(f"AWS_SECRET_ACCESS_KEY={made.secret}")
    say(f"May {', '.join(made.key.allow)}. Keep the secret: it is not shown again.")
