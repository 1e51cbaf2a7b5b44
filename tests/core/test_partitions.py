"""Which messages are in which partition, and where partitions live."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft
from penstock.core.partitions import (
    check_partitioner,
    is_partition,
    number_of,
    partition_for,
    partition_name,
    partition_of_key,
    queue_of,
)
from penstock.core.placement import SLOTS, homes, in_slot_of, slot_in, slot_of, slot_of_key
from penstock.core.queues import QUEUE_NAME, QueueSettings

ID = "01a227e8-3d2d-71ee-b0c4-fabfa01d8b16"


@given(key=st.integers(0, 1 << 70), servers=st.integers(1, 8), queues=st.integers(1, 8))
def test_qugo_places_an_integer_as_qugo_does(key: int, servers: int, queues: int) -> None:
    redis, queue = (key // queues) % servers, key % queues
    assert partition_of_key(f"qugo:{queues}", servers * queues, str(key)) == redis * queues + queue


@pytest.mark.parametrize("key", ["", "a", "-1", "1.0", " 1", "1_0", "\u0661", "1\n"])
def test_qugo_takes_only_integers(key: str) -> None:
    with pytest.raises(InvalidRequest, match="only integers"):
        partition_of_key("qugo:2", 4, key)


def test_the_hash_is_crc_32() -> None:
    # the check value of that algorithm: any other program can find a key's partition
    assert partition_of_key("hash", 64, "123456789") == 0xCBF43926 % 64


def test_keys_are_spread_evenly() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[partition_of_key("hash", 8, f"customer-{number}")] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


def test_a_message_without_a_group_goes_by_its_deduplication_id_or_its_own() -> None:
    settings = QueueSettings(partitions=8)
    first = partition_for(settings, Draft("x", deduplication_id="d", message_id=ID))
    assert partition_for(settings, Draft("x", deduplication_id="d", message_id=ID[:-1] + "7")) == first
    found = {partition_for(settings, Draft("x", message_id=f"{ID[:-1]}{digit}")) for digit in "01234567"}
    assert found == set(range(8))


@pytest.mark.parametrize(("partitioner", "partitions"), [("qugo:3", 8), ("qugo:0", 8), ("qugo", 8), ("other", 8)])
def test_a_partitioner_must_be_one_and_fit(partitioner: str, partitions: int) -> None:
    with pytest.raises(InvalidRequest):
        check_partitioner(partitioner, partitions)


def test_nobody_can_call_a_queue_as_a_partition_is_called() -> None:
    name = partition_name("region/account/orders.fifo", 12)
    assert not QUEUE_NAME.fullmatch(name)
    assert (is_partition(name), queue_of(name), number_of(name)) == (True, "region/account/orders.fifo", 12)
    assert (is_partition("orders"), queue_of("orders")) == (False, "orders")
    assert [number_of(f"q#{text}") for text in ("", "x", "01", "64", "-1", "1#2")] == [None] * 6


def test_partitions_stand_where_their_queue_would() -> None:
    names = ["orders", "orders-dead", "orders.fifo", "orders1"]
    parts = [partition_name(name, number) for name in names for number in (0, 1)]
    assert sorted(parts) == parts


def spread(queue: str, partitions: int, shards: int) -> int:
    """Return by how many the shard with the most partitions of a queue is ahead of that with the fewest."""
    counts = [0] * shards
    for number in range(partitions):
        counts[homes(shards)[slot_of(partition_name(queue, number))]] += 1
    return max(counts) - min(counts)


QUEUES = [f"queue-{number}" for number in range(40)]


@pytest.mark.parametrize("partitions", [2, 4, 6, 8, 12, 16, 24, 32, 48, 64])
def test_an_even_number_of_partitions_is_halved_exactly_by_two_shards(partitions: int) -> None:
    assert {spread(queue, partitions, 2) for queue in QUEUES} == {0}


@pytest.mark.parametrize("shards", range(2, 17))
def test_partitions_are_spread_evenly_over_however_many_shards(shards: int) -> None:
    assert max(spread(queue, shards, shards) for queue in QUEUES) <= 2
    for partitions in (2, 3, 4, 6, 8, 12, 16, 24, 32, 64):
        assert max(spread(queue, partitions, shards) for queue in QUEUES) <= 3


def test_one_shard_more_moves_its_share_of_partitions_and_nothing_else() -> None:
    for queue in QUEUES:
        lives = [[homes(shards)[slot_of(partition_name(queue, number))] for number in range(64)] for shards in (3, 4)]
        moved = [after for before, after in zip(*lives, strict=True) if before != after]
        assert set(moved) == {3}
        assert 15 <= len(moved) <= 18


def test_not_all_queues_begin_on_one_shard() -> None:
    assert len({homes(4)[slot_of(partition_name(queue, 0))] for queue in QUEUES}) > 2


def test_an_id_may_be_put_into_the_slot_of_a_partition() -> None:
    name = partition_name("orders", 3)
    placed = in_slot_of(ID, name)
    assert slot_in(placed) == slot_of(name) == slot_of_key(f"penstock/job/{placed}") < SLOTS
    assert [one == other for one, other in pairwise((placed, ID))] == [False]
    assert in_slot_of(placed, name) == placed


def test_a_record_is_placed_by_its_key_whatever_that_looks_like() -> None:
    assert slot_of_key("user#5") != slot_of("user#5")
