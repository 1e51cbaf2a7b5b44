"""``penstock key``: make, list, rotate and revoke keys that the store keeps."""

from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from penstock.cli.desk_calls import BY, call, in_store
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answer, Answers, say
from penstock.cli.target import At
from penstock.cli.times import duration, told_duration, told_instant
from penstock.server.directory.shapes import Grace, KeyView, KeyWish, NewKey

app = CommandGroup("Make, list, rotate and revoke keys: one kind for AWS SDKs, REST, the console and workers.")

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="Its public half.", show_default=False)]


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
    at: At,
    answer: Answers,
    name: Annotated[str, typer.Option(help="Whose it is; queue policies know it by that. [default: its id]")] = "",
    account: Annotated[str | None, typer.Option(help="Twelve digits. [default: the server's]")] = None,
    expires: Annotated[
        float | None,
        typer.Option(metavar="DURATION", parser=duration, help="Such as 90d, 12h. [default: until it is revoked]"),
    ] = None,
    note: Annotated[str, typer.Option(help="Your own words, such as where it is used.")] = "",
) -> None:
    """Make a key. Its secret is shown once and kept nowhere."""
    wish = KeyWish(tuple(allow), name=name, account=account, expires_seconds=expires, note=note)
    if at.store is not None:
        made: NewKey = in_store(
            at, lambda directory: directory.create_key(wish, BY), ("key create", "", ", ".join(allow))
        )
    else:
        made = msgspec.json.decode(call(at, "POST", "keys", wish), type=NewKey)
    _show(made, answer)
    if made.is_first and not answer.is_json:
        say("This is the first key: from now on servers on this store ask for one, unless told --no-auth.")


@app.command("list")
def list_keys(at: At, answer: Answers) -> None:
    """List the keys that the store keeps, also those that ended in the last 90 days; never a secret."""
    if at.store is not None:
        keys: tuple[KeyView, ...] = in_store(at, lambda directory: directory.list_keys())
    else:
        keys = msgspec.json.decode(call(at, "GET", "keys"), type=_Keys).keys
    answer.table(
        keys,
        ("Key id", "Name", "Status", "May", "Until", "Note"),
        lambda: (
            (each.key_id, each.name, each.status, ", ".join(each.allow), told_instant(each.expires_at), each.note)
            for each in keys
        ),
        nothing="There is no key in the store.",
    )


@app.command("rotate")
def rotate(
    key_id: KeyId,
    at: At,
    answer: Answers,
    grace: Annotated[
        float | None,
        typer.Option(metavar="DURATION", parser=duration, help="How long the old one is accepted. [default: 7d]"),
    ] = None,
) -> None:
    """Make a key that may do the same, and let the old one end after a while."""
    wanted = Grace() if grace is None else Grace(grace)
    if at.store is not None:
        made: NewKey = in_store(
            at, lambda directory: directory.rotate_key(key_id, wanted, BY), ("key rotate", key_id, "")
        )
    else:
        made = msgspec.json.decode(call(at, "POST", f"keys/{quote(key_id, safe='')}/rotate", wanted), type=NewKey)
    _show(made, answer)
    if not answer.is_json:
        say(f"{key_id} is accepted for {told_duration(wanted.grace_seconds * 1000)} longer.")


@app.command("revoke")
def revoke(key_id: KeyId, at: At, answer: Answers) -> None:
    """End a key: servers refuse it within seconds."""
    if at.store is not None:
        revoked: KeyView = in_store(at, lambda directory: directory.revoke_key(key_id, BY), ("key revoke", key_id, ""))
    else:
        revoked = msgspec.json.decode(call(at, "POST", f"keys/{quote(key_id, safe='')}/revoke"), type=KeyView)
    answer(revoked, f"Revoked {revoked.key_id} ({revoked.name}).")


def _show(made: NewKey, answer: Answer) -> None:
    answer(
        made,
        f"AWS_ACCESS_KEY_ID={made.key.key_id}\n"
        f"AWS_SECRET_ACCESS_KEY={made.secret}\n"
        f"May {', '.join(made.key.allow)}. Keep the secret: it is not shown again.",
    )
