"""History: the stored life of messages, as far as their queue's level says, and the feed of all events."""

from penstock.core.events import Event, EventKind
from penstock.core.messages import Draft
from penstock.core.operations import DeleteMessages, ReadEvents, ReadHistory, StartMove
from penstock.core.queues import RedrivePolicy
from penstock.core.settlements import ChangeVisibility, DeadLetter, GiveBack
from tests.support.world import World


async def history(world: World, message_id: str) -> tuple[Event, ...]:
    return (await world.perform(ReadHistory(message_id))).events  # type: ignore[no-any-return]


async def kinds(world: World, message_id: str) -> list[str]:
    return [event.kind.value for event in await history(world, message_id)]


async def events(world: World, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
    return (await world.perform(ReadEvents(after, limit))).events  # type: ignore[no-any-return]


async def live(world: World) -> str:
    """Let a message of ``q`` be sent, held, given back, dead-lettered; return its id."""
    (sent,) = await world.send("q", "a")
    held = await world.take("q", owner="me")
    await world.settle("q", held, ChangeVisibility(2))
    await world.settle("q", held, GiveBack())
    held = await world.take("q")
    await world.settle("q", held, DeadLetter("broken"))
    return sent.message_id


async def test_history_is_off_by_default(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 5))
    assert await history(world, await live(world)) == ()
    assert await events(world) == ()


async def test_all_keeps_everything(world: World) -> None:
    await world.create("dead", history="all")
    await world.create("q", redrive=RedrivePolicy("dead", 5), history="all")
    message_id = await live(world)
    at = world.now

    def event(number: int, kind: EventKind, detail: str | None = None) -> Event:
        return Event(number, at, "q", message_id, kind, detail)

    assert await history(world, message_id) == (
        event(1, EventKind.SENT),
        event(2, EventKind.RECEIVED, "me"),
        event(3, EventKind.VISIBILITY_CHANGED, "2 s"),
        event(4, EventKind.VISIBILITY_CHANGED, "given back"),
        event(5, EventKind.RECEIVED),
        event(6, EventKind.DEAD_LETTERED, "broken"),
    )


async def test_errors_keeps_what_went_wrong(world: World) -> None:
    await world.create("dead")
    await world.create("q", redrive=RedrivePolicy("dead", 5), history="errors")
    assert await kinds(world, await live(world)) == ["dead_lettered"]
    (short,) = await world.send("q", "short", time_to_live_seconds=1)
    world.advance(1)
    await world.sweep()
    assert await kinds(world, short.message_id) == ["expired"]


async def test_each_way_to_end_is_told(world: World) -> None:
    await world.create("dead")
    await world.create("q", history="all", redrive=RedrivePolicy("dead", 1))
    names = ("deleted", "cancelled", "moved", "by id", "expired", "spent")
    ids = {}
    for priority, name in enumerate(names):
        (sent,) = await world.send("q", name, priority=priority, time_to_live_seconds=5 if name == "expired" else None)
        ids[name] = sent.message_id
    await world.receive("q", 1, visibility_timeout_seconds=1)
    await world.reschedule(world.now + 60_000, ids["moved"], ids["deleted"], ids["cancelled"])
    await world.cancel(ids["cancelled"])
    await world.perform(DeleteMessages((ids["by id"],)))
    world.advance(5)
    assert await world.receive("q") == ()
    await world.reschedule(0, ids["deleted"])
    await world.delete("q", await world.take("q"))
    await world.reschedule(0, ids["moved"])
    await world.perform(StartMove("q", "dead"))
    await world.step_moves()
    assert {name: await kinds(world, ids[name]) for name in names} == {
        "deleted": ["sent", "rescheduled", "rescheduled", "received", "deleted"],
        "cancelled": ["sent", "rescheduled", "cancelled"],
        "moved": ["sent", "rescheduled", "rescheduled", "moved"],
        "by id": ["sent", "deleted"],
        "expired": ["sent", "expired"],
        "spent": ["sent", "received", "dead_lettered"],
    }


async def test_a_moved_message_tells_where_it_came_from(world: World) -> None:
    await world.create("q", history="all")
    await world.create("r", history="all")
    (sent,) = await world.send("q", "a")
    await world.perform(StartMove("q", "r"))
    await world.step_moves()
    (moved,) = await world.peek("r")
    (gone,) = [event for event in await history(world, sent.message_id) if event.kind is EventKind.MOVED]
    (came,) = await history(world, moved.message_id)
    assert gone.detail is not None
    assert came.detail is not None
    assert moved.message_id in gone.detail
    assert sent.message_id in came.detail
    assert (gone.queue, came.queue) == ("q", "r")


async def test_a_released_lease_is_told(world: World) -> None:
    await world.create("q", history="all")
    (sent,) = await world.send("q", "a")
    await world.take("q", owner="dead")
    await world.release("dead")
    assert await kinds(world, sent.message_id) == ["sent", "received", "visibility_changed"]


async def test_what_did_not_happen_is_not_told(world: World) -> None:
    await world.create("q", history="all", max_message_bytes=5)
    (sent,) = await world.send("q", "a", deduplication_id="d")
    await world.send("q", "a", deduplication_id="d")
    await world.send_drafts("q", Draft("too large"))
    stale = await world.take("q", visibility_timeout_seconds=1)
    world.advance(1)
    await world.settle("q", stale, is_fenced=True)
    await world.take("q")
    await world.settle("q", stale)
    assert await kinds(world, sent.message_id) == ["sent", "received", "received"]
    assert len(await events(world)) == 3


async def test_the_level_counts_when_it_happens(world: World) -> None:
    await world.create("q")
    (sent,) = await world.send("q", "a")
    await world.update("q", history="all")
    held = await world.take("q")
    await world.update("q", history="off")
    await world.delete("q", held)
    assert await kinds(world, sent.message_id) == ["received"]


async def test_the_feed_goes_on_after_an_event(world: World) -> None:
    await world.create("q", history="all")
    await world.create("r", history="all")
    for queue in ("q", "r", "q"):
        await world.send(queue, "x")
        world.advance(1)
    first, second, third = await events(world)
    assert [event.queue for event in (first, second, third)] == ["q", "r", "q"]
    assert first.event_id < second.event_id < third.event_id
    assert await events(world, limit=2) == (first, second)
    assert await events(world, first.event_id) == (second, third)
    assert await events(world, third.event_id) == ()


async def test_the_latest_events_can_be_asked_for(world: World) -> None:
    await world.create("q", history="all")
    assert await events(world, -1, 1) == ()
    await world.send("q", "a", "b", "c")
    assert await events(world, -1, 1) == (await events(world))[2:]
    assert await events(world, -1, 2) == (await events(world))[1:]


async def test_history_outlives_the_message(world: World) -> None:
    await world.create("q", history="all")
    (sent,) = await world.send("q", "a")
    await world.delete("q", await world.take("q"))
    await world.sweep()
    assert await kinds(world, sent.message_id) == ["sent", "received", "deleted"]
