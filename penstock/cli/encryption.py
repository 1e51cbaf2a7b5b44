"""``penstock encryption``: keys that content is sealed with, what of a store is under which, and sealing it again."""

import asyncio
from typing import TYPE_CHECKING

import typer

from penstock.cli.backup import ConfigFile, StoreUrl, url_of
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answer, Answers, note, print_table, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.store.sealed.resealing import Found, Resealing

app = CommandGroup("Encryption of content at rest: make keys, see what is under which, and seal it again.")

_KINDS = ("messages", "records", "moves", "reasons")


@app.command("key")
def key() -> None:
    """Make a key and print it. It is kept nowhere: put it where PENSTOCK_ENCRYPTION_KEYS or its file comes from."""
    import base64
    import secrets

    from penstock.store.sealed.keys import KEY_BYTES, keyring_of

    made = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    say(made)
    note(f"Its id is {keyring_of(made, 'This').ids[0]}. Keep it: without it nobody can read what is sealed with it.")


@app.command("status")
def status(answer: Answers, store: StoreUrl = None, config: ConfigFile = None) -> None:
    """Say how much of a store is under which key. Everything is read, nothing is changed."""
    _show(asyncio.run(_with(url_of(store, config), lambda resealing: resealing.look())), answer)


@app.command("reseal")
def reseal(answer: Answers, store: StoreUrl = None, config: ConfigFile = None) -> None:
    """Bring everything under the first key of PENSTOCK_ENCRYPTION_KEYS, while servers and workers go on with it.

    Killed, it goes on when it is started again. With `clear` in the place of the first key it brings everything back
    into the clear.
    """
    found = asyncio.run(_with(url_of(store, config), lambda resealing: resealing.reseal()))
    _show(found, answer)
    for each in found.left:
        note(each)
    if found.left_count:
        note(f"{found.left_count:,} could not be brought under it. Keep the old keys.")
        raise typer.Exit(1)
    if len(found.reasons) > 1:
        note(
            "Reasons in the history stay under their keys until they are forgotten; without those nobody can read them."
        )


async def _with(url: str, work: "Callable[[Resealing], Awaitable[Found]]") -> "Found":
    from typing import cast

    from penstock.broker.system import SystemClock
    from penstock.cli.target import must_exist
    from penstock.core.errors import InvalidRequest
    from penstock.store import open_store
    from penstock.store.sealed.opening import VARIABLE, plain

    must_exist(url)
    store = await open_store(url)
    try:
        if plain(store) is store:
            raise InvalidRequest("There are no keys.", hint=f"Set {VARIABLE}; see docs/security.md.", field="store")
        from penstock.store.sealed.resealing import Resealing
        from penstock.store.sealed.store import SealedStore

        return await work(Resealing(cast(SealedStore, store), SystemClock().now_ms))
    finally:
        await store.aclose()


def _show(found: "Found", answer: Answer) -> None:
    def rows() -> None:
        ids = sorted({key_id for kind in _KINDS for key_id in getattr(found, kind)})
        columns = ("Key", *(kind.capitalize() for kind in _KINDS))
        print_table(
            columns,
            [(key_id, *(getattr(found, kind).get(key_id, 0) for kind in _KINDS)) for key_id in ids],
            numbers=columns[1:],
        )

    answer(found, rows)
