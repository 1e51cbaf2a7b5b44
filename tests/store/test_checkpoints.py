"""The write-ahead log is copied back by a connection of its own, so that the writer waits for the rest only."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from penstock.broker.local import LocalBroker
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, Send
from penstock.store.sqlite import SqliteStore, checkpoints
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


@pytest.mark.parametrize(
    ("least", "most", "is_copied"),
    [(1, 2, True), (1, 1 << 30, False), (1 << 29, 1 << 30, False)],
    ids=["as long as it may be", "shorter than the database", "shorter than is worth it"],
)
def test_a_log_is_copied_when_it_is_as_long_as_its_database_within_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, most: int, is_copied: bool
) -> None:
    monkeypatch.setattr(checkpoints, "_LEAST_BYTES", least)
    monkeypatch.setattr(checkpoints, "_MOST_BYTES", most)
    path = tmp_path / "large.db"
    with closing(apsw.Connection(str(path))) as writer:
        writer.pragma("journal_mode", "wal")
        writer.execute("CREATE TABLE filling AS SELECT randomblob(1 << 20)")
        writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        copying = checkpoints.Checkpoints(writer, path)
        writer.execute("CREATE TABLE change (what)")
        copying.start_if_due()
        copying.close()
        assert copying.is_to_finish is is_copied
