"""Following: who holds a delivery of a strict group receives what comes behind it, live and in order."""

import asyncio

import pytest

from penstock.core.errors import InvalidRequest, NoLongerHeld, PenstockError, QueueNotFound, ReceiptHandleInvalid
from penstock.core.messages import Delivery
from penstock.core.operations import DeleteQueue, Receive
from penstock.core.queues import RedrivePolicy
from penstock.core.settlements import ChangeVisibility, DeadLetter, GiveBack
from penstock.store.contract import EVERY_GROUP, wakeup_name
from tests.support.world import World


@pytest.fixture
async def held(world: World) -> Delivery:
    """The first message of group g in the strict queue q."""
    await world.create("q", group_order="strict")
    await world.send("q", "1", group_id="g")
    return await world.take("q", visibility_timeout_seconds=100)


async def follow(world: World, held: Delivery, max_messages: int = 10, **details: object) -> list[str]:
    return await world.receive_bodies("q", max_messages, following=held.receipt_handle, **details)


async def test_who_follows_receives_what_comes_behind_in_order(world: World, held: Delivery) -> None:
    await world.send("q", "2", "3", "4", group_id="g", priority=9)
    await world.send("q", "other", group_id="h")
    assert await follow(world, held, 2) == ["2", "3"]
    assert (await world.groups("q"))["g"].in_flight == 3
    assert await world.receive_bodies("q") == ["other"]


async def test_what_is_followed_is_the_last_that_is_held(world: World, held: Delivery) -> None:
    await world.send("q", "2", "3", "4", group_id="g")
    (second,) = await world.receive("q", 1, following=held.receipt_handle)
    assert await follow(world, held) == []
    assert await follow(world, second) == ["3", "4"]


async def test_each_delivery_that_follows_is_settled_by_its_own_handle(world: World, held: Delivery) -> None:
    await world.send("q", "2", "3", group_id="g")
    second, third = await world.receive("q", following=held.receipt_handle)
    await world.delete("q", held, second)
    await world.send("q", "4", group_id="g")
    assert await follow(world, third) == ["4"]


async def test_a_stream_may_be_followed_for_ever(world: World, held: Delivery) -> None:
    last = held
    for number in range(2, 7):
        await world.send("q", str(number), group_id="g")
        (following,) = await world.receive("q", following=last.receipt_handle)
        assert following.body == str(number)
        await world.delete("q", last)
        last = following


async def test_nothing_comes_past_a_delayed_message(world: World, held: Delivery) -> None:
    await world.send("q", "2", group_id="g", delay_seconds=5)
    await world.send("q", "3", group_id="g")
    assert await follow(world, held) == []
    world.advance(5)
    assert await follow(world, held) == ["2", "3"]


async def test_what_has_expired_or_is_spent_is_passed_over(world: World) -> None:
    await world.create("dead")
    await world.create("q", group_order="strict", redrive=RedrivePolicy("dead", 1))
    await world.send("q", "1", "spent", group_id="g")
    held, spent = await world.receive("q", visibility_timeout_seconds=100)
    await world.settle("q", spent, GiveBack(is_counted=True))
    await world.send("q", "short", group_id="g", time_to_live_seconds=1)
    await world.send("q", "2", group_id="g")
    world.advance(1)
    assert await follow(world, held) == ["2"]
    assert await world.receive_bodies("dead") == ["spent"]


async def test_leases_that_follow_have_timeout_and_owner(world: World, held: Delivery) -> None:
    await world.send("q", "2", group_id="g")
    assert await follow(world, held, visibility_timeout_seconds=7, owner="me") == ["2"]
    assert (await world.peek("q"))[1].visible_at == world.now + 7000
    assert await world.release("me") == 1
    assert await follow(world, held) == ["2"]


async def test_a_group_keeps_its_turn_when_it_is_followed(world: World) -> None:
    await world.create("q", group_order="strict")
    await world.send("q", "a1", "a2", group_id="a")
    await world.send("q", "b1", group_id="b")
    held = await world.take("q")
    assert await follow(world, held) == ["a2"]
    assert await world.receive_bodies("q") == ["b1"]


async def test_who_follows_keeps_to_the_limit_of_the_queue(world: World, held: Delivery) -> None:
    await world.update("q", max_in_flight=2)
    await world.send("q", "2", "3", group_id="g")
    assert await follow(world, held) == ["2"]
    reply = await world.perform(Receive("q", wait_seconds=0, following=held.receipt_handle))
    assert (reply.deliveries, reply.is_over_limit) == ((), True)


@pytest.mark.parametrize("obstacle", ["paused", "parked"])
async def test_nothing_follows_in_a_paused_queue_or_a_parked_group(world: World, held: Delivery, obstacle: str) -> None:
    await world.send("q", "2", group_id="g")
    if obstacle == "paused":
        await world.update("q", is_paused=True)
    else:
        await world.park("q", "g")
    assert await follow(world, held) == []
    poll = await world.long_poll("q", following=held.receipt_handle)
    if obstacle == "paused":
        await world.update("q", is_paused=False)
    else:
        await world.park("q", "g", is_parked=False)
    assert await world.reply(poll) == ["2"]


# -- who may follow --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["deleted", "dead-lettered", "given back", "lease over", "received again", "purged"])
async def test_who_no_longer_holds_cannot_follow(world: World, held: Delivery, end: str) -> None:
    await world.send("q", "2", group_id="g")
    if end == "deleted":
        await world.delete("q", held)
    elif end == "dead-lettered":
        await world.settle("q", held, DeadLetter())
    elif end == "given back":
        await world.settle("q", held, GiveBack())
    elif end == "purged":
        await world.purge("q")
    else:
        world.advance(100)
        if end == "received again":
            await world.receive("q")
    before = await world.peek("q")
    with pytest.raises(NoLongerHeld) as raised:
        await follow(world, held)
    assert raised.value.problem.field == "following"
    assert await world.peek("q") == before


@pytest.mark.parametrize("setting", [{"is_paused": True}, {"max_in_flight": 1}], ids=str)
async def test_a_lost_lease_is_told_whatever_hinders(world: World, held: Delivery, setting: dict[str, object]) -> None:
    await world.settle("q", held, GiveBack())
    await world.receive("q", visibility_timeout_seconds=1000)
    await world.update("q", **setting)
    with pytest.raises(NoLongerHeld):
        await follow(world, held)


async def test_only_strictly_ordered_groups_are_followed(world: World) -> None:
    await world.create("fair")
    await world.create("strict", group_order="strict")
    await world.send("fair", "a", group_id="g")
    await world.send("strict", "a")
    for queue in ("fair", "strict"):
        held = await world.take(queue)
        with pytest.raises(InvalidRequest) as raised:
            await world.receive(queue, following=held.receipt_handle)
        assert raised.value.problem.field == "following"


@pytest.mark.parametrize(
    ("details", "error"),
    [
        ({"queue": "none"}, QueueNotFound),
        ({"queue": "r"}, ReceiptHandleInvalid),
        ({"following": "garbage"}, ReceiptHandleInvalid),
        ({"attempt_id": "x"}, InvalidRequest),
    ],
    ids=str,
)
async def test_what_cannot_be_followed_is_refused(
    world: World, held: Delivery, details: dict[str, str], error: type[PenstockError]
) -> None:
    await world.create("r", group_order="strict")
    asked = {"queue": "q", "following": held.receipt_handle, "wait_seconds": 0, **details}
    with pytest.raises(error):
        await world.perform(Receive(**asked))  # type: ignore[arg-type]


# -- waiting ---------------------------------------------------------------------------------------------------------


async def test_who_follows_is_woken_by_a_send(world: World, held: Delivery) -> None:
    poll = await world.long_poll("q", following=held.receipt_handle)
    assert await world.still_waits(poll, "q")
    await world.send("q", "other", group_id="h")
    assert await world.still_waits(poll, "q")
    await world.send("q", "2", group_id="g")
    assert await world.reply(poll) == ["2"]


async def test_a_send_behind_a_message_wakes_nobody_but_who_follows(near_world: World) -> None:
    world = near_world
    await world.create("q", group_order="strict")
    await world.send("q", "1", group_id="g")
    held = await world.take("q")
    follower = await world.long_poll("q", following=held.receipt_handle)
    ordinary = await world.long_poll("q")
    woken: list[str] = []
    world.store.listen(lambda name, at: woken.append(name))
    await world.send("q", "2", group_id="g")
    assert set(woken) == {wakeup_name("q", "g")}
    assert await world.reply(follower) == ["2"]
    assert await world.still_waits(ordinary, "q")


async def test_who_follows_is_woken_when_a_delay_is_over(world: World, held: Delivery) -> None:
    await world.send("q", "2", group_id="g", delay_seconds=5)
    poll = await world.long_poll("q", following=held.receipt_handle)
    world.advance(4.999)
    assert await world.still_waits(poll, "q")
    world.advance(0.001)
    assert await world.reply(poll) == ["2"]


@pytest.mark.parametrize("way", ["given back", "given back later", "visibility 0", "released", "lease over", "deleted"])
async def test_who_follows_is_woken_when_what_is_in_the_way_is_let_go(world: World, held: Delivery, way: str) -> None:
    await world.send("q", "2", "3", group_id="g")
    (second,) = await world.receive("q", 1, following=held.receipt_handle, visibility_timeout_seconds=9, owner="me")
    poll = await world.long_poll("q", 10, following=held.receipt_handle)
    assert await world.still_waits(poll, "q")
    if way == "given back":
        await world.settle("q", second, GiveBack())
    elif way == "given back later":
        await world.settle("q", second, GiveBack(3))
        world.advance(3)
    elif way == "visibility 0":
        await world.change_visibility("q", second, 0)
    elif way == "released":
        await world.release("me")
    elif way == "lease over":
        world.advance(9)
    else:
        await world.delete("q", second)
    assert await world.reply(poll) == (["3"] if way == "deleted" else ["2", "3"])


async def test_who_follows_is_woken_when_room_is_made_under_the_limit(world: World, held: Delivery) -> None:
    await world.send("q", "elsewhere", group_id="h")
    elsewhere = await world.take("q")
    await world.update("q", max_in_flight=2)
    await world.send("q", "2", group_id="g")
    poll = await world.long_poll("q", following=held.receipt_handle)
    assert await world.still_waits(poll, "q")
    await world.delete("q", elsewhere)
    assert await world.reply(poll) == ["2"]


@pytest.mark.parametrize("end", ["deleted", "dead-lettered", "shortened", "lease over", "purged", "queue deleted"])
async def test_who_follows_while_the_lease_ends_is_told(world: World, held: Delivery, end: str) -> None:
    poll = await world.long_poll("q", following=held.receipt_handle, wait_seconds=1000)
    assert await world.still_waits(poll, "q")
    if end == "deleted":
        await world.delete("q", held)
    elif end == "dead-lettered":
        await world.settle("q", held, DeadLetter())
    elif end == "shortened":
        await world.change_visibility("q", held, 0)
    elif end == "purged":
        await world.purge("q")
    elif end == "queue deleted":
        await world.perform(DeleteQueue("q"))
    else:
        world.advance(100)
    with pytest.raises(QueueNotFound if end == "queue deleted" else NoLongerHeld):
        await asyncio.wait_for(poll, 5)


async def test_who_follows_waits_on_while_the_lease_is_prolonged(world: World, held: Delivery) -> None:
    poll = await world.long_poll("q", following=held.receipt_handle, wait_seconds=1000)
    for _ in range(3):
        world.advance(60)
        await world.settle("q", held, ChangeVisibility(100))
        assert await world.still_waits(poll, "q")
    await world.send("q", "2", group_id="g")
    assert await world.reply(poll) == ["2"]


async def test_who_follows_gets_nothing_when_the_time_is_over(world: World, held: Delivery) -> None:
    poll = await world.long_poll("q", following=held.receipt_handle, wait_seconds=20)
    world.advance(20)
    assert await world.reply(poll) == []


async def test_all_who_follow_in_a_group_are_woken(world: World, held: Delivery) -> None:
    await world.send("q", "2", group_id="g")
    (second,) = await world.receive("q", following=held.receipt_handle, visibility_timeout_seconds=100)
    far = await world.long_poll("q", following=second.receipt_handle)
    near = await world.long_poll("q", following=held.receipt_handle)
    await world.change_visibility("q", second, 0)
    assert await world.reply(near) == ["2"]
    with pytest.raises(NoLongerHeld):
        await asyncio.wait_for(far, 5)


async def test_nothing_is_left_of_who_followed(near_world: World) -> None:
    world = near_world
    await world.create("q", group_order="strict")
    for number in range(3):
        await world.send("q", "1", group_id=f"g{number}")
    waiting = world.local._waiting
    for held in await world.receive("q", visibility_timeout_seconds=100):
        poll = await world.long_poll("q", following=held.receipt_handle, wait_seconds=20)
        world.advance(20)
        assert await world.reply(poll) == []
    assert [name for name in waiting._versions if name != "q"] == []
    assert not waiting._followed
    assert [name for name in waiting._alarms if name != "q"] == []


def test_the_name_of_every_group_is_no_groups() -> None:
    names = {wakeup_name(queue, group) for queue in ("q", "q/a/b") for group in ("g", "", "b\ng")}
    assert len(names | {"q", "q/a/b"}) == 8
    assert wakeup_name("q", EVERY_GROUP) in names
