"""`penstock migrate` as a command: what it refuses and what it says."""

import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from penstock.broker.system import SystemEntropy
from penstock.cli.migrate import identity
from penstock.core.messages import Draft
from penstock.core.queues import QueueChanges
from penstock.store import open_store
from tests.support import redis_server

COMMAND = str(Path(sys.executable).with_name("penstock"))
PATIENCE_SECONDS = 60
ENTROPY = SystemEntropy()


def now() -> int:
    return time.time_ns() // 1_000_000


def migrated(folder: Path, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [COMMAND, "migrate", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


async def fill(url: str, count: int = 3) -> None:
    store = await open_store(url)
    await store.create_queue("orders", QueueChanges(), 0, now())
    await store.send("orders", [Draft("x", message_id=ENTROPY.message_id(now())) for _ in range(count)], now())
    await store.aclose()


async def count_in(url: str) -> int:
    store = await open_store(url)
    queue = await store.describe_queue("orders", now())
    await store.aclose()
    return queue.counts.ready


async def test_what_makes_no_sense_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    full, other = f"sqlite:///{tmp_path}/full.db", f"sqlite:///{tmp_path}/other.db"
    await fill(full)
    await fill(other, 1)
    assert "same store" in migrated(tmp_path, "--from", full, "--to", "sqlite:///full.db", status=1)
    assert "not empty" in migrated(tmp_path, "--from", full, "--to", other, status=1)
    assert "no database" in migrated(tmp_path, "--from", "sqlite:///none.db", "--to", other, status=4)
    assert "memory://" in migrated(tmp_path, "--from", full, "--to", "memory://", status=1)
    assert "would be carried. Nothing was." in migrated(tmp_path, "--from", full, "--to", other, "--dry-run")
    assert not (tmp_path / "none.db").exists()
    assert (await count_in(full), await count_in(other)) == (3, 1)


async def test_out_of_redis_and_back_and_who_asks_the_old_file_is_led_on(tmp_path: Path) -> None:
    redis = f"{redis_server.shared_server().url}?tag={quote(str(tmp_path), safe='')}"
    first, second = f"sqlite:///{tmp_path}/first.db", f"sqlite:///{tmp_path}/second.db"
    await fill(first)
    assert "1 queues with 3 messages" in migrated(tmp_path, "--from", first, "--to", redis)
    assert "already" in migrated(tmp_path, "--from", first, "--to", redis)
    assert await count_in(first) == await count_in(redis) == 3
    migrated(tmp_path, "--from", redis, "--to", second)
    assert await count_in(second) == 3
    # where it went is not where this goes
    assert "has moved to redis://" in migrated(tmp_path, "--from", first, "--to", second, status=1)


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("sqlite:///a.db", "sqlite:///./a.db?durability=os", True),
        ("sqlite:///a.db", "sqlite:///b.db", False),
        ("redis://localhost", "redis://me:secret@127.0.0.1:6379/0", True),
        ("redis://localhost", "redis://localhost/1", False),
        ("redis://localhost", "redis://localhost?tag=other", False),
        ("redis+sentinel://a,b/orders", "redis+sentinel://b,a:26379/orders", True),
        ("postgresql://localhost/db", "postgres://me@localhost:5432/db?schema=penstock", True),
        ("postgresql://localhost/db", "postgresql://localhost/db?schema=other", False),
    ],
)
def test_two_urls_of_one_store_are_known(one: str, other: str, are_one: bool) -> None:
    assert (identity(one) == identity(other)) is are_one
