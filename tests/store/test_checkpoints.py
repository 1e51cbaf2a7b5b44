"""The write-ahead log is copied back by a connection of its own, so that the writer waits for the rest only."""

from pathlib import Path

import apsw

from penstock.broker.local import LocalBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Send
from penstock.store.sqlite import SqliteStore
from penstock.store.sqlite.connection import open_copier


async def test_the_copying_connection_copies_what_another_connection_has_written(tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    broker = LocalBroker(await SqliteStore.open(path))
    copier = open_copier(path)
    await broker.perform(CreateQueue("q"))
    await broker.perform(Send("q", tuple(Draft("x" * 900) for _ in range(500))))
    logged, copied = copier.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    assert logged == copied > 100
    copier.close()
    await broker.aclose()
