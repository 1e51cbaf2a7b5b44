"""Records: small values with tags that expire by themselves."""

from typing import Any

import pytest

from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest
from penstock.core.operations import DeleteRecords, FindRecords, GetRecords, PutRecords
from tests.support.world import World


async def put(world: World, *records: Record) -> tuple[bool, ...]:
    return (await world.perform(PutRecords(records))).kept  # type: ignore[no-any-return]


async def get(world: World, *keys: str) -> tuple[Record | None, ...]:
    return (await world.perform(GetRecords(keys))).records  # type: ignore[no-any-return]


async def found(world: World, **conditions: Any) -> list[str]:
    return [record.key for record in (await world.perform(FindRecords(**conditions))).records]


async def test_a_record_is_kept_as_it_is(world: World) -> None:
    record = Record("ä/key", b"\0\xff value", {"kind": "result", "ö": ""}, world.now + 1000)
    assert await put(world, record) == (True,)
    assert await get(world, "none", "ä/key", "ä/key") == (None, record, record)


async def test_a_put_replaces_what_was_there_tags_too(world: World) -> None:
    await put(world, Record("k", b"1", {"a": "1", "b": "2"}, world.now + 1000))
    await put(world, Record("k", b"2", {"b": "3"}))
    assert await get(world, "k") == (Record("k", b"2", {"b": "3"}),)
    assert await found(world, tag="a=1") == []
    assert await found(world, tag="b=2") == []
    assert await found(world, tag="b=3") == ["k"]


async def test_only_if_absent_tells_who_came_first(world: World) -> None:
    mark = Record("k", b"1", only_if_absent=True)
    assert await put(world, mark, Record("k", b"2", only_if_absent=True), Record("l", b"3", only_if_absent=True)) == (
        True,
        False,
        True,
    )
    assert await get(world, "k") == (Record("k", b"1"),)


async def test_an_expired_record_is_absent(world: World) -> None:
    await put(world, Record("k", b"1", {"a": "1"}, world.now + 5000, only_if_absent=True))
    world.advance(4.999)
    assert await put(world, Record("k", b"2", only_if_absent=True)) == (False,)
    world.advance(0.001)
    assert await get(world, "k") == (None,)
    assert await found(world) == await found(world, tag="a=1") == await found(world, prefix="k") == []
    assert await put(world, Record("k", b"2", only_if_absent=True)) == (True,)
    assert await get(world, "k") == (Record("k", b"2"),)


async def test_a_sweep_forgets_expired_records_only(world: World) -> None:
    await put(world, Record("a", b"", {"t": "1"}, world.now + 5000), Record("b", b"", {"t": "1"}, world.now + 6000))
    await put(world, Record("c", b"", {"t": "1"}))
    world.advance(5)
    assert await world.sweep() == 1
    assert await found(world, tag="t=1") == ["b", "c"]


async def test_deleting_forgets_records(world: World) -> None:
    await put(world, Record("a", b"", {"t": "1"}), Record("b", b"", {"t": "1"}), Record("c", b"", {"t": "1"}))
    await world.perform(DeleteRecords(("a", "none", "c")))
    assert await found(world) == await found(world, tag="t=1") == ["b"]


async def test_records_are_found_by_the_start_of_their_key(world: World) -> None:
    await put(
        world, *(Record(key, b"") for key in ("job/1", "job/10", "job/2", "job", "jobs", "Job/1", "job_1", "job%", "ä"))
    )
    assert await found(world, prefix="job/") == ["job/1", "job/10", "job/2"]
    assert await found(world, prefix="job_") == ["job_1"]
    assert await found(world, prefix="job%") == ["job%"]
    assert await found(world, prefix="ä") == ["ä"]
    assert await found(world, prefix="none") == []


async def test_keys_are_in_order_of_their_code_points(world: World) -> None:
    keys = ["b", "a", "B", "ä", "é", "z", "\U0001f41f", "\uffff", "a b", "a\x00"]
    await put(world, *(Record(key, b"") for key in keys))
    assert await found(world) == sorted(keys)


async def test_records_are_found_by_tag(world: World) -> None:
    await put(
        world,
        Record("1", b"", {"state": "ok", "task": "a"}),
        Record("2", b"", {"state": "ok"}),
        Record("3", b"", {"state": "bad", "task": "a=b"}),
        Record("x2", b"", {"state": "ok"}),
    )
    assert await found(world, tag="state=ok") == ["1", "2", "x2"]
    assert await found(world, tag="task=a=b") == ["3"]
    assert await found(world, tag="state=ok", prefix="x") == ["x2"]
    assert await found(world, tag="state") == []


@pytest.mark.parametrize("conditions", [{}, {"tag": "t=1"}, {"prefix": "k"}, {"tag": "t=1", "prefix": "k"}], ids=str)
async def test_records_are_found_page_by_page(world: World, conditions: dict[str, str]) -> None:
    keys = [f"k{number:02}" for number in range(7)]
    await put(world, *(Record(key, b"", {"t": "1"}) for key in keys))
    got: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await world.perform(FindRecords(after=after, limit=3, **conditions))
        assert len(page.records) <= 3
        got += [record.key for record in page.records]
        after = page.next_after
    assert got == keys


async def test_a_put_names_1_to_1000_records(world: World) -> None:
    for records in ((), (Record("k", b""),) * 1001):
        with pytest.raises(InvalidRequest):
            await put(world, *records)
    assert await put(world, *(Record(str(number), b"") for number in range(1000))) == (True,) * 1000


@pytest.mark.parametrize("key", ["", "k" * 1001], ids=["empty", "too long"])
async def test_a_key_that_cannot_be_meant_is_refused(world: World, key: str) -> None:
    with pytest.raises(InvalidRequest):
        await put(world, Record("good", b""), Record(key, b""))
    assert await found(world) == []


async def test_nothing_asked_is_nothing_got(world: World) -> None:
    assert await get(world) == ()
    await world.perform(DeleteRecords(()))


async def test_records_are_found_from_the_end(world: World) -> None:
    await put(world, *(Record(key, b"", {"t": "1"}) for key in ("a1", "a2", "a3", "b1", "ä")))
    assert await found(world, is_descending=True) == ["ä", "b1", "a3", "a2", "a1"]
    assert await found(world, is_descending=True, after="a3") == ["a2", "a1"]
    assert await found(world, is_descending=True, after="a2x", tag="t=1") == ["a2", "a1"]
    assert await found(world, is_descending=True, prefix="a", limit=2) == ["a3", "a2"]
    assert await found(world, is_descending=True, prefix="a", after="zzz") == ["a3", "a2", "a1"]
    assert await found(world, is_descending=True, prefix="b", after="a3") == []
    assert await found(world, is_descending=True, tag="t=2") == []


@pytest.mark.parametrize("conditions", [{}, {"tag": "t=1"}, {"prefix": "k"}, {"tag": "t=1", "prefix": "k"}], ids=str)
async def test_records_are_found_page_by_page_from_the_end(world: World, conditions: dict[str, str]) -> None:
    keys = [f"k{number:02}" for number in range(7)]
    await put(world, *(Record(key, b"", {"t": "1"}) for key in keys))
    got: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await world.perform(FindRecords(after=after, limit=3, is_descending=True, **conditions))
        got += [record.key for record in page.records]
        after = page.next_after
    assert got == keys[::-1]
