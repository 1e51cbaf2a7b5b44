"""What is sealed cannot be read in the files, and is as it was for everybody who asks."""

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest

from penstock.core.effects import Arrival, Effects, FollowUp, Guard, Join, Record
from penstock.core.errors import GuardFailed, MessageTooLarge
from penstock.core.filters import MessageFilter
from penstock.core.messages import Attribute, Draft
from penstock.core.operations import GetRecords, ListMoves, PutRecords, Refused, StartMove
from penstock.core.queues import QueueChanges, QueueCounts, RedrivePolicy
from penstock.core.sealed import ADDED_BYTES, HEADER_LENGTH, bytes_in, key_id_of
from penstock.core.settlements import DeadLetter, Settled
from penstock.store.contract import Store
from penstock.store.following import FollowingStore, StoreMoved
from penstock.store.memory import MemoryStore
from penstock.store.sealed.opening import sealed_with
from penstock.store.sealed.sealing import Sealing, Unopenable
from tests.store.sealed.conftest import Place, plain_store
from tests.support.encryption import FIRST_KEY, SECOND_KEY, keyring
from tests.support.entropy import own_id
from tests.support.world import World, bodies

SECRET = "xyzzy-known-plaintext"
LONG = SECRET * 200


async def test_nothing_that_is_said_is_in_the_files(place: Place) -> None:
    said = {"text": Attribute(string_value=SECRET), "raw": Attribute("Binary", binary_value=SECRET.encode())}
    async with place.opened(FIRST_KEY) as world:
        await world.create("dead", history="all")
        await world.create("q", history="all", redrive=RedrivePolicy("dead", 3))
        await world.send("q", SECRET, LONG, attributes=said, system_attributes=said)
        await world.perform(PutRecords((Record("key", SECRET.encode()),)))
        follow_up = FollowUp("q", Draft(f"follow {SECRET}", attributes=said, message_id=own_id(1)))
        await world.apply(
            sends=(FollowUp("q", Draft(LONG)),),
            records=(Record("other", SECRET.encode()),),
            joins=(Join("join", 1, follow_up), Join("waits", 2, FollowUp("q", Draft(SECRET, message_id=own_id(2))))),
            arrivals=(Arrival("join", "part"),),
        )
        held = await world.take("q")
        effects = Effects(records=(Record("settled", SECRET.encode()),), sends=(FollowUp("q", Draft(SECRET)),))
        await world.settle("q", held, DeadLetter(SECRET), effects=effects)
        await world.perform(StartMove("dead", "q", filter=MessageFilter(text=SECRET, json_value=f'"{SECRET}"')))
        assert SECRET.encode() not in place.files(), "while it is open, with its log"
        assert (await world.take("q")).body == LONG
    assert SECRET.encode() not in place.files()
    assert b"~sealed1." in place.files()
    async with place.opened(FIRST_KEY) as world:
        (dead,) = await world.peek("dead")
        assert (dead.body, dead.attributes, dead.system_attributes) == (SECRET, said, said)
        events = await world.store.read_history(dead.message_id)
        assert SECRET in [each.detail for each in events]
        assert events == [each for each in await world.store.read_events(0, 100) if each.message_id == dead.message_id]
        assert (await world.find(own_id(1))).attributes == said  # type: ignore[union-attr]
        assert (await world.find(own_id(2))).body == SECRET  # type: ignore[union-attr]
        found = (await world.perform(GetRecords(("key", "other", "settled")))).records
        assert [each.value for each in found] == [SECRET.encode()] * 3
        (move,) = (await world.perform(ListMoves("dead", 10))).moves
        assert move.filter == MessageFilter(text=SECRET, json_value=f'"{SECRET}"')


async def test_equal_bodies_are_not_equal_in_the_store(sealed: World) -> None:
    await sealed.create("q")
    await sealed.send("q", "same", "same")
    kept, _ = await plain_store(sealed).peek("q", MessageFilter(), 0, 10, sealed.now)
    assert len({each.body for each in kept}) == 2
    assert bodies(await sealed.peek("q")) == ["same", "same"]


async def test_filters_look_into_what_is_opened(sealed: World) -> None:
    await sealed.create("q")
    attributes = {"kind": Attribute(string_value="new")}
    await sealed.send("q", '{"order": {"sku": "a"}}', attributes=attributes)
    await sealed.send("q", '{"order": {"sku": "b"}}', "text")
    for wanted in (
        {"text": '"a"'},
        {"json_path": "order.sku", "json_value": '"a"'},
        {"attribute": "kind"},
        {"attribute": "kind", "attribute_value": "new"},
    ):
        assert bodies(await sealed.peek("q", **wanted)) == ['{"order": {"sku": "a"}}']
    assert bodies(await sealed.peek("q", json_path="order")) == ['{"order": {"sku": "a"}}', '{"order": {"sku": "b"}}']
    assert await sealed.peek("q", text="~sealed") == ()


async def test_moves_look_into_what_is_opened(sealed: World) -> None:
    await sealed.create("q")
    await sealed.create("dead")
    await sealed.send("dead", "yes", "no", "yes")
    await sealed.perform(StartMove("dead", "q", filter=MessageFilter(text="yes")))
    assert await sealed.step_moves() is None
    assert bodies(await sealed.peek("q")) == ["yes", "yes"]
    assert bodies(await sealed.peek("dead")) == ["no"]


async def test_a_store_that_has_moved_is_sealed_and_looked_into_where_it_is_now(tmp_path: Path) -> None:
    class Left(MemoryStore):
        has_moved = False

        async def peek(self, *arguments: Any) -> Any:
            if self.has_moved:
                raise StoreMoved("there", "there")
            return await super().peek(*arguments)

    left, next_one = Left(), MemoryStore()

    async def open_next(url: str) -> Store:
        return next_one

    store = await sealed_with(cast(Store, FollowingStore(left, open_next)), keyring(FIRST_KEY))
    below = await sealed_with(next_one, keyring(FIRST_KEY))
    await below.create_queue("q", QueueChanges(), 0, 0)
    await below.send("q", [Draft("yes", message_id=own_id(1)), Draft("no", message_id=own_id(2))], 0)
    await store.create_queue("q", QueueChanges(), 0, 0)
    left.has_moved = True
    found, _ = await store.peek("q", MessageFilter(text="yes"), 0, 10, 0)
    assert bodies(found) == ["yes"]
    await store.aclose()


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(12))
@pytest.mark.parametrize("character", ["a", "ä", "€", "😀"])
def test_what_is_in_a_sealed_text_can_be_counted(length: int, character: str) -> None:
    text = character * length
    sealed = Sealing(keyring(FIRST_KEY)).seal_text(text, b"")
    assert bytes_in(sealed) == len(text.encode())
    assert len(sealed) == HEADER_LENGTH + -(-(len(text.encode()) + ADDED_BYTES) // 3) * 4


@pytest.mark.parametrize(("character", "count", "fits"), [("x", 1005, True), ("x", 1006, False), ("ä", 503, False)])
async def test_limits_count_what_was_said(sealed: World, character: str, count: int, fits: bool) -> None:
    body = character * count
    await sealed.create("q", max_message_bytes=1024)
    attributes = {"name": Attribute(string_value="value"), "raw": Attribute(data_type="B")}
    (outcome,) = await sealed.send_drafts("q", Draft(body, attributes=attributes, message_id=own_id(1)))
    joins = (Join("j", 1, FollowUp("q", Draft(body, attributes=attributes, message_id=own_id(2)))),)
    if fits:
        await sealed.apply(joins=joins, arrivals=(Arrival("j", "part"),))
        assert bodies(await sealed.peek("q")) == [body, body], "also when a join sends it"
        return
    assert isinstance(outcome, Refused)
    assert "has 1025 bytes" in outcome.problem.message
    with pytest.raises(MessageTooLarge, match="has 1025 bytes"):
        await sealed.apply(joins=joins)


# -- deduplication by content ------------------------------------------------------------------------------------------


async def test_content_tells_duplicates_and_nobody_without_the_key_can_guess_it(sealed: World, place: Place) -> None:
    await sealed.create("q", content_based_deduplication=True)
    first, second, other = [await sealed.send("q", each) for each in ("same", "same", "other")]
    assert (second[0].is_duplicate, other[0].is_duplicate) == (True, False)
    assert second[0].message_id == first[0].message_id
    digest = hashlib.sha256(b"same").hexdigest()
    assert (await sealed.peek("q"))[0].deduplication_id == digest, "as it is without encryption"
    assert (await sealed.receive("q"))[0].deduplication_id == digest
    assert digest.encode() not in place.files()
    assert bytes.fromhex(digest) not in place.files()


async def test_a_queue_that_begins_to_deduplicate_by_content_does_so_at_once(sealed: World) -> None:
    await sealed.create("q")
    await sealed.send("q", "same")
    await sealed.update("q", content_based_deduplication=True)
    await sealed.send("q", "same")
    assert (await sealed.send("q", "same"))[0].is_duplicate
    assert await sealed.counts("q") == QueueCounts(2, 0, 0)


async def test_another_process_hears_within_a_second_that_a_queue_deduplicates_by_content(place: Place) -> None:
    async with place.opened(FIRST_KEY) as one, place.opened(FIRST_KEY) as other:
        await one.create("q")
        await one.send("q", "same")
        await other.update("q", content_based_deduplication=True)
        one.advance(1)
        await one.send("q", "same")
        assert (await other.send("q", "same"))[0].is_duplicate


# -- what is sealed with what ------------------------------------------------------------------------------------------


def test_what_is_put_elsewhere_does_not_open() -> None:
    sealing = Sealing(keyring(FIRST_KEY))
    with pytest.raises(Unopenable, match="is not what was sealed"):
        sealing.open_text(sealing.seal_text("text", b"here"), b"there")
    with pytest.raises(Unopenable, match="is not what was sealed"):
        sealing.open_record("there", sealing.seal_record("here", b"value"))


def test_every_bit_of_what_is_sealed_counts() -> None:
    sealing = Sealing(keyring(FIRST_KEY))
    value = sealing.seal_value(b"value", b"bound")
    for at in range(HEADER_LENGTH, len(value)):
        changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        with pytest.raises(Unopenable):
            sealing.open_value(changed, b"bound")
    for end in range(HEADER_LENGTH, len(value)):
        with pytest.raises(Unopenable):
            sealing.open_value(value[:end], b"bound")


@pytest.mark.parametrize("text", ["~sealed1.", "~sealed1.abc", "~sealed1.12345678", "~sealed1.12345678,x", "~SEALED1."])
async def test_what_only_looks_sealed_is_text(sealed: World, text: str) -> None:
    assert key_id_of(text) is None
    await sealed.create("q")
    await sealed.send("q", text)
    assert await sealed.receive_bodies("q") == [text]


async def test_what_was_said_may_look_sealed(sealed: World) -> None:
    text = Sealing(keyring(SECOND_KEY)).seal_text("not for you", b"")
    await sealed.create("q")
    await sealed.send("q", text)
    assert await sealed.receive_bodies("q") == [text]


# -- guards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), (SECOND_KEY,), (FIRST_KEY,)])
async def test_guards_hold_for_what_a_record_says_whatever_key_it_is_under(
    place: Place, before: tuple[str, ...]
) -> None:
    async with place.opened(*before) as world:
        await world.create("q")
        await world.send("q", "a", "b")
        await world.perform(PutRecords((Record("key", b"old"), Record("same", b"same"))))
    async with place.opened(FIRST_KEY, SECOND_KEY) as world:
        right, wrong, none = Guard("key", b"old"), Guard("key", b"new"), Guard("key", None)
        for guard in (wrong, none):
            with pytest.raises(GuardFailed, match="'key'"):
                await world.apply(guards=(Guard("same", b"same"), guard), records=(Record("key", b"never"),))
        held, other = await world.receive("q")
        outcome = await world.settle("q", held, effects=Effects(guards=(wrong,), records=(Record("key", b"never"),)))
        assert (outcome.result, outcome.problem and outcome.problem.code) == (Settled.REFUSED, "guard_failed")
        done = Effects(guards=(right, Guard("nothing", None)), records=(Record("key", b"new"),))
        assert (await world.settle("q", held, effects=done)).result is Settled.DONE
        again = Effects(guards=(Guard("key", b"new"), Guard("same", b"same")), forgets=("key",))
        assert (await world.settle("q", other, effects=again)).result is Settled.DONE
        assert (await world.perform(GetRecords(("key",)))).records == (None,)
