"""Backups of SQLite stores: of one instant, checked, and never half; restored only where that is meant."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.broker.system import SystemEntropy
from penstock.cli.backup import database_of
from penstock.core.errors import InvalidRequest, StoreDamaged, StoreTooNew, StoreUnavailable
from penstock.core.filters import MessageFilter
from penstock.core.messages import Draft
from penstock.core.queues import QueueChanges
from penstock.store.sqlite import SqliteStore, copying

ENTROPY = SystemEntropy()


def now() -> int:
    return time.time_ns() // 1_000_000


def silently(done: int, of: int) -> None:
    pass


class Writing:
    """A store that is open and written in a thread of its own, as by another process."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._store = self._do(SqliteStore.open(path, durability="os"))
        self._do(self._store.create_queue("orders", QueueChanges(), 0, now()))

    def send(self, *bodies: str) -> None:
        drafts = [Draft(body, message_id=ENTROPY.message_id(now())) for body in bodies]
        self._do(self._store.send("orders", drafts, now()))

    def close(self) -> None:
        if self._thread.is_alive():
            self._do(self._store.aclose())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _do(self, wanted):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(wanted, self._loop).result(20)


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Writing]:
    writing = Writing(tmp_path / "penstock.db")
    yield writing
    writing.close()


def names_in(folder: Path, pattern: str) -> list[str]:
    return sorted(each.name for each in folder.glob(pattern))


async def bodies_in(path: Path) -> list[str]:
    store = await SqliteStore.open(path, durability="os")
    found, _ = await store.peek("orders", MessageFilter(), 0, 1000, now())
    await store.aclose()
    return [each.body for each in found]


async def test_a_backup_is_of_the_instant_at_which_it_began(
    writing: Writing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_PAGES_AT_ONCE", 5)
    before = [f"{number} {'x' * 500}" for number in range(50)]
    writing.send(*before)
    meanwhile: list[str] = []

    def write_on(done: int, of: int) -> None:
        assert done <= of
        assert len(meanwhile) < 100, "it begins again and again"
        meanwhile.append(f"meanwhile {len(meanwhile)}")
        writing.send(meanwhile[-1])

    copying.back_up(tmp_path / "penstock.db", tmp_path / "copy.db", write_on)
    assert len(meanwhile) > 3
    assert names_in(tmp_path, "copy*") == ["copy.db"]
    assert await bodies_in(tmp_path / "copy.db") == before
    writing.close()
    assert await bodies_in(tmp_path / "penstock.db") == before + meanwhile


async def test_a_backup_is_restored_only_where_that_is_meant(writing: Writing, tmp_path: Path) -> None:
    path, copy = tmp_path / "penstock.db", tmp_path / "copy.db"
    writing.send("kept")
    copying.back_up(path, copy, silently)
    writing.send("later")
    with pytest.raises(InvalidRequest, match="there already"):
        copying.restore(copy, path, silently, replaces=False)
    with pytest.raises(InvalidRequest, match="open"):
        copying.restore(copy, path, silently, replaces=True)
    writing.close()
    assert copying.restore(copy, path, silently, replaces=True) == tmp_path / "penstock.db.replaced"
    assert await bodies_in(path) == ["kept"]
    assert await bodies_in(tmp_path / "penstock.db.replaced") == ["kept", "later"]
    assert copying.restore(copy, tmp_path / "folder" / "other.db", silently, replaces=False) is None
    assert await bodies_in(tmp_path / "folder" / "other.db") == ["kept"]


async def test_what_is_no_sound_backup_replaces_nothing(writing: Writing, tmp_path: Path) -> None:
    path, copy = tmp_path / "penstock.db", tmp_path / "copy.db"
    writing.send(*(f"{number} {'x' * 500}" for number in range(50)))
    copying.back_up(path, copy, silently)
    writing.close()
    sound = copy.read_bytes()
    newer = bytearray(sound)
    newer[60:64] = (99).to_bytes(4, "big")  # user_version: sqlite.org, "Database File Format"
    stranger = bytearray(sound)
    stranger[68:72] = bytes(4)  # application_id
    torn = sound[: len(sound) // 2]
    for damaged, error in ((newer, StoreTooNew), (stranger, StoreDamaged), (torn, StoreDamaged), (b"x", StoreDamaged)):
        copy.write_bytes(damaged)
        with pytest.raises(error):
            copying.restore(copy, path, silently, replaces=True)
    with pytest.raises(StoreUnavailable):
        copying.restore(tmp_path / "nothing.db", path, silently, replaces=True)
    with pytest.raises(StoreUnavailable):
        copying.back_up(tmp_path / "nothing.db", copy, silently)
    assert len(await bodies_in(path)) == 50
    assert names_in(tmp_path, "*unfinished*") == []


async def test_a_damaged_database_can_be_replaced_and_is_kept(writing: Writing, tmp_path: Path) -> None:
    path, copy = tmp_path / "penstock.db", tmp_path / "copy.db"
    writing.send("kept")
    copying.back_up(path, copy, silently)
    writing.close()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreDamaged):
        copying.back_up(path, tmp_path / "worthless.db", silently)
    assert not (tmp_path / "worthless.db").exists()
    before = copying.restore(copy, path, silently, replaces=True)
    assert before is not None
    assert before.read_bytes() == b"no database" * 1000
    assert await bodies_in(path) == ["kept"]


@pytest.mark.parametrize(
    ("url", "verb", "hint"),
    [
        ("redis://me:secret@host:1", "backup", "redis-cli --rdb"),
        ("redis+sentinel://host/orders", "restore", "RDB"),
        ("postgresql://me:secret@host/db", "backup", "pg_dump --format=custom"),
        ("postgresql://me:secret@host/db", "restore", "pg_restore"),
        ("memory://", "backup", "keeps"),
    ],
)
def test_other_stores_say_what_backs_them_up(url: str, verb: str, hint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        database_of(url, verb)
    problem = caught.value.problem
    assert hint in (problem.hint or "")
    assert "secret" not in f"{problem.hint}{problem.message}"
