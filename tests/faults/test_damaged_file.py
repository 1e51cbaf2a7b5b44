"""A store's file that is damaged, foreign or too new is refused with a clear error, and left as it is."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.errors import PenstockError, StoreDamaged, StoreTooNew
from penstock.core.messages import Draft
from penstock.core.operations import (
    CreateQueue,
    DescribeQueue,
    ListGroups,
    ListQueues,
    Operation,
    Peek,
    Receive,
    Send,
    Settle,
)
from penstock.core.queues import QueueChanges
from penstock.core.settlements import Settlement
from penstock.store.sqlite import SqliteStore
from tests.faults.server_process import ServerProcess
from tests.faults.sqs_connection import Refused, SqsConnection, queue_url

_PAGE = 4096
_IN_A_CENTURY = 1_000 * 86_400 * 365 * 100


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a store with a standard, a FIFO and a fair queue, some of whose messages are in flight."""
    path = tmp_path_factory.mktemp("sound") / "penstock.db"
    asyncio.run(_fill(path))
    return path.read_bytes()


async def _fill(path: Path) -> None:
    broker = LocalBroker(await SqliteStore.open(path))
    await broker.perform(CreateQueue("plain"))
    await broker.perform(CreateQueue("ordered", QueueChanges(is_fifo=True, group_order="strict")))
    await broker.perform(CreateQueue("shared"))
    for start in range(0, 1000, 100):
        numbers = range(start, start + 100)
        await broker.perform(Send("plain", tuple(Draft(f"{number} {'x' * 300}") for number in numbers)))
        drafts = tuple(Draft(str(n), group_id=f"g{n % 50}", deduplication_id=str(n)) for n in numbers)
        await broker.perform(Send("ordered", drafts))
        await broker.perform(Send("shared", tuple(Draft(f"tenant {n}", group_id=f"t{n % 10}") for n in numbers)))
    await broker.perform(Receive("plain", 100, wait_seconds=0))
    await broker.perform(Receive("ordered", 100, wait_seconds=0))
    await broker.aclose()


def _text(sound: bytes) -> bytes:
    return b"This is a letter, not a database.\n" * 200


def _half(sound: bytes) -> bytes:
    return sound[: len(sound) // 2 // _PAGE * _PAGE]


def _overwritten_schema(sound: bytes) -> bytes:
    return sound[:100] + Random(1).randbytes(_PAGE - 100) + sound[_PAGE:]


def _overwritten_start(sound: bytes) -> bytes:
    return Random(2).randbytes(_PAGE) + sound[_PAGE:]


def _of_version(version: int) -> Callable[[bytes], bytes]:
    # the user version lies at offset 60 (sqlite.org, "Database file format")
    return lambda sound: sound[:60] + version.to_bytes(4, "big") + sound[64:]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_text, StoreDamaged),
        (_half, StoreDamaged),
        (_overwritten_start, StoreDamaged),
        (_overwritten_schema, StoreDamaged),
        (_of_version(999), StoreTooNew),
    ],
    ids=["no database", "cut in half", "first page overwritten", "schema overwritten", "of a newer version"],
)
async def test_a_file_that_cannot_be_used_is_refused_and_left_as_it_is(
    sound: bytes, tmp_path: Path, damage: Callable[[bytes], bytes], expected: type[PenstockError]
) -> None:
    path = tmp_path / "penstock.db"
    path.write_bytes(damage(sound))
    with pytest.raises(expected) as refused:
        await SqliteStore.open(path)
    assert str(path) in str(refused.value)
    assert refused.value.problem.hint
    assert path.read_bytes() == damage(sound)


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE accounts (balance INTEGER)")
    foreign.commit()
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(StoreDamaged, match="another program"):
        await SqliteStore.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("seed", range(60))
async def test_damage_anywhere_is_either_reported_or_out_of_the_way(sound: bytes, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    path = tmp_path / "penstock.db"
    damaged = _damaged(sound, random) if seed < 40 else _peppered(sound, random)
    path.write_bytes(damaged)
    inode = path.stat().st_ino
    try:
        store = await SqliteStore.open(path)
    except StoreDamaged:
        assert path.read_bytes() == damaged
        return
    broker = LocalBroker(store)
    for queue in ("plain", "ordered", "shared"):
        operations: tuple[Operation[Any], ...] = (
            ListQueues(),
            DescribeQueue(queue),
            ListGroups(queue),
            Peek(queue, limit=1000),
            Send(queue, tuple(Draft("more", group_id="g1", deduplication_id=f"more {n}") for n in range(20))),
            Receive(queue, 1000, wait_seconds=0),
            Receive(queue, 10, wait_seconds=0),
        )
        for operation in operations:
            with contextlib.suppress(StoreDamaged):
                reply = await broker.perform(operation)
                if isinstance(operation, Receive) and reply.deliveries:
                    held = tuple(Settlement(queue, each.receipt_handle) for each in reply.deliveries)
                    await broker.perform(Settle(held))
    for task in (store.check(), store.sweep(1000, now=_IN_A_CENTURY), store.step_moves((), now=_IN_A_CENTURY)):
        with contextlib.suppress(StoreDamaged):
            await task
    await broker.aclose()
    assert path.stat().st_ino == inode


def _damaged(sound: bytes, random: Random) -> bytes:
    """Return a file in which some pages other than the first are overwritten, or that lost its end."""
    if random.random() < 0.2:
        return sound[: random.randrange(_PAGE, len(sound))]
    damaged = bytearray(sound)
    for page in random.sample(range(1, len(sound) // _PAGE), random.choice((1, 3, 20))):
        filling = random.choice((bytes(_PAGE), random.randbytes(_PAGE)))
        damaged[page * _PAGE : (page + 1) * _PAGE] = filling
    return bytes(damaged)


def _peppered(sound: bytes, random: Random) -> bytes:
    """Return a file in which single bytes after the first page are others: most lie inside of values."""
    damaged = bytearray(sound)
    for place in random.sample(range(_PAGE, len(sound)), random.choice((20, 200, 2000))):
        damaged[place] ^= random.randrange(1, 256)
    return bytes(damaged)


async def _sequence_numbers(broker: LocalBroker, queue: str, most: int) -> list[int]:
    reply = await broker.perform(Receive(queue, most, wait_seconds=0))
    return [each.sequence_number for each in reply.deliveries]


_NO_UTF8 = b"\xff"
_NO_MSGPACK = b"\xc1"


@pytest.mark.parametrize(
    ("written", "damaged"),
    [(b"102 xxx", _NO_UTF8 + b"02 xxx"), (b"102 xxx", b"102 xx" + _NO_UTF8)],
    ids=["first byte", "in the middle"],
)
async def test_a_damaged_message_is_reported_and_the_others_are_delivered(
    sound: bytes, tmp_path: Path, written: bytes, damaged: bytes
) -> None:
    path = tmp_path / "penstock.db"
    path.write_bytes(sound.replace(written, damaged))
    store = await SqliteStore.open(path)
    broker = LocalBroker(store)
    assert await _sequence_numbers(broker, "plain", 10) == [101, 102], "100 are in flight, the 103rd is damaged"
    with pytest.raises(StoreDamaged, match="Message 103 of queue 'plain'"):
        await _sequence_numbers(broker, "plain", 10)
    assert await _sequence_numbers(broker, "plain", 10) == list(range(104, 114))
    with pytest.raises(StoreDamaged, match="Message 103 of queue 'plain'"):
        await broker.perform(Peek("plain", limit=1000))
    with pytest.raises(StoreDamaged, match="Message 103 of queue 'plain'"):
        await store.check()
    await broker.perform(Send("plain", (Draft("more"),)))
    await broker.aclose()


async def test_what_comes_behind_a_damaged_message_of_a_strict_group_waits_and_other_groups_go_on(
    sound: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "penstock.db"
    head = b"\x95\xa2g5\xa15"
    assert head in sound
    path.write_bytes(sound.replace(head, _NO_MSGPACK + head[1:]))
    broker = LocalBroker(await SqliteStore.open(path))
    with pytest.raises(StoreDamaged, match="Message 6 of queue 'ordered'"):
        await broker.perform(Receive("ordered", 10, wait_seconds=0))
    groups = set()
    while deliveries := (await broker.perform(Receive("ordered", 100, wait_seconds=0))).deliveries:
        groups |= {each.group_id for each in deliveries}
    assert groups == {f"g{number}" for number in range(6, 50)}, "g0 to g4 are in flight"
    await broker.aclose()


async def test_a_damaged_message_of_a_tenant_is_passed_over(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    path.write_bytes(sound.replace(b"tenant 0", b"tenant\xff0"))
    broker = LocalBroker(await SqliteStore.open(path))
    with pytest.raises(StoreDamaged, match="Message 1 of queue 'shared'"):
        await broker.perform(Receive("shared", 10, wait_seconds=0))
    received: list[int] = []
    while some := await _sequence_numbers(broker, "shared", 500):
        received += some
    assert sorted(received) == list(range(2, 1001))
    await broker.aclose()


async def test_a_sound_file_passes_the_check(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    path.write_bytes(sound)
    store = await SqliteStore.open(path)
    await store.check()
    await store.aclose()


@pytest.mark.parametrize("damage", [_text, _of_version(999)], ids=["no database", "of a newer version"])
async def test_the_server_does_not_start_on_it_and_says_so_in_one_line(
    sound: bytes, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "penstock.db"
    path.write_bytes(damage(sound))
    server = ServerProcess(f"sqlite:///{path}", tmp_path / "server.log")
    await server.launch()
    assert await server.exit_status() == 1
    assert len(server.log_text.splitlines()) == 1
    assert str(path) in server.log_text
    assert path.read_bytes() == damage(sound)


async def test_the_server_reports_damage_that_it_finds_later_and_goes_on(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "penstock.db"
    path.write_bytes(sound)
    with sqlite3.connect(path) as connection:
        ((first_page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'messages_in_order'")
    connection.close()
    damaged = bytearray(sound)
    damaged[(first_page - 1) * _PAGE : first_page * _PAGE] = Random(3).randbytes(_PAGE)
    path.write_bytes(damaged)
    server = ServerProcess(f"sqlite:///{path}", tmp_path / "server.log")
    await server.start()
    try:
        connection = await SqsConnection.open(server.port)
        for _ in range(3):
            with pytest.raises(Refused, match="damaged") as refused:
                await connection.call("ReceiveMessage", QueueUrl=queue_url("plain"), MaxNumberOfMessages=10)
            assert refused.value.status in (500, 503)
        assert (await connection.call("GetQueueUrl", QueueName="plain"))["QueueUrl"].endswith("/plain")
        await connection.aclose()
        assert await server.stop() == 0
    finally:
        await server.kill()
    assert "Traceback" not in server.log_text
