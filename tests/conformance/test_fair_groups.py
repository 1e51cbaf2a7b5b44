"""Fair order: groups are tenants; noisy ones wait for quiet ones, and each may have a limit of its own."""

from penstock.core.queues import GroupView
from tests.support.world import World, bodies


async def test_groups_do_not_order_or_lock_each_other(world: World) -> None:
    await world.create("q")
    await world.send("q", "a1", "a2", group_id="a")
    await world.receive("q", 1)
    assert await world.receive_bodies("q") == ["a2"]


async def test_quiet_tenants_come_in_order_of_arrival(world: World) -> None:
    await world.create("q")
    for name in ("a1", "b1", "a2", "c1", "b2"):
        await world.send("q", name, group_id=name[0])
        world.advance(0.001)
    assert await world.receive_bodies("q") == ["a1", "b1", "a2", "c1", "b2"]


async def test_a_tenant_that_holds_most_leases_waits_for_the_others(world: World) -> None:
    await world.create("q")
    await world.send("q", *[f"noisy{number}" for number in range(40)], group_id="noisy")
    world.advance(1)
    await world.send("q", "quiet1", "quiet2", group_id="quiet")
    assert len(await world.receive("q", 30)) == 30
    assert await world.receive_bodies("q", 3) == ["quiet1", "quiet2", "noisy30"]


async def test_a_tenant_with_fewer_than_30_leases_is_quiet(world: World) -> None:
    await world.create("q")
    await world.send("q", *[f"busy{number}" for number in range(40)], group_id="busy")
    world.advance(1)
    await world.send("q", "other", group_id="other")
    await world.receive("q", 29)
    assert await world.receive_bodies("q", 2) == ["busy29", "other"]


async def test_a_tenant_with_at_most_a_tenth_of_the_leases_is_quiet(world: World) -> None:
    await world.create("q")
    await world.send("q", *["other"] * 270)
    await world.receive("q", 270)
    await world.send("q", *[f"big{number}" for number in range(32)], group_id="big")
    await world.receive("q", 30)
    world.advance(1)
    await world.send("q", "late", group_id="late")
    # 30 of 300 leases are a tenth, 31 of 301 are more
    assert await world.receive_bodies("q", 3) == ["big30", "late", "big31"]


async def test_a_message_without_a_group_is_a_quiet_tenant(world: World) -> None:
    await world.create("q")
    await world.send("q", *[f"noisy{number}" for number in range(40)], group_id="noisy")
    await world.receive("q", 30)
    world.advance(1)
    await world.send("q", "alone")
    assert await world.receive_bodies("q", 2) == ["alone", "noisy30"]


async def test_a_noisy_tenant_waits_even_with_high_priority(world: World) -> None:
    await world.create("q")
    await world.send("q", *[f"noisy{number}" for number in range(32)], group_id="noisy", priority=9)
    await world.receive("q", 30)
    await world.send("q", "quiet", group_id="quiet")
    assert await world.receive_bodies("q", 2) == ["quiet", "noisy30"]


async def test_among_noisy_tenants_the_one_with_fewest_leases_comes_first(world: World) -> None:
    await world.create("q")
    await world.send("q", *[f"a{number}" for number in range(45)], group_id="a")
    assert len(await world.receive("q", 40)) == 40
    await world.send("q", *[f"b{number}" for number in range(45)], group_id="b")
    assert await world.receive_bodies("q", 30) == [f"b{number}" for number in range(30)]
    # both are noisy now: a holds 40, b 30
    assert await world.receive_bodies("q", 10) == [f"b{number}" for number in range(30, 40)]
    # 40 each: they take turns
    assert sorted(body[0] for body in await world.receive_bodies("q", 4)) == ["a", "a", "b", "b"]


async def test_a_tenant_stays_noisy_until_its_backlog_has_drained(world: World) -> None:
    await world.create("q")
    await world.send("q", *[f"noisy{number}" for number in range(32)], group_id="noisy")
    held = await world.receive("q", 30)
    await world.send("q", "quiet1", group_id="quiet")
    assert await world.receive_bodies("q", 1) == ["quiet1"]
    await world.delete("q", *held)
    world.advance(1)
    await world.send("q", "quiet2", group_id="quiet")
    assert await world.receive_bodies("q", 3) == ["quiet2", "noisy30", "noisy31"]


async def test_a_drained_tenant_starts_anew(world: World) -> None:
    await world.create("q")
    await world.send("q", *["noisy"] * 32, group_id="noisy")
    await world.delete("q", *await world.receive("q", 32))
    assert await world.groups("q") == {}
    world.advance(120)
    await world.send("q", "first", group_id="noisy")
    world.advance(1)
    await world.send("q", "second", group_id="quiet")
    assert await world.receive_bodies("q") == ["first", "second"]


async def test_a_noisy_tenant_turns_quiet_five_minutes_after_its_last_send(world: World) -> None:
    await world.create("q")
    await world.send("q", *[f"noisy{number}" for number in range(33)], group_id="noisy")
    held = await world.receive("q", 30)
    await world.send("q", "quiet", group_id="quiet")
    held += await world.receive("q", 1)
    assert (await world.groups("q"))["noisy"].is_noisy
    await world.delete("q", *held)
    world.advance(299.999)
    await world.send("q", "new", group_id="new")
    assert await world.receive_bodies("q", 2) == ["new", "noisy30"]
    world.advance(0.001)
    await world.send("q", "newer", group_id="newer")
    # nothing quiet is there before it is looked at again: it is judged when no quiet tenant has anything
    assert await world.receive_bodies("q", 2) == ["newer", "noisy31"]
    assert not (await world.groups("q"))["noisy"].is_noisy
    await world.send("q", "newest", group_id="newest")
    assert await world.receive_bodies("q", 2) == ["noisy32", "newest"]


async def test_a_tenant_with_most_of_the_processing_time_is_noisy_while_it_works(world: World) -> None:
    await world.create("q")
    await world.send("q", "a1", "a2", "a3", group_id="slow")
    slow = await world.take("q")
    world.advance(10)
    await world.delete("q", slow)
    # it holds nothing now: quiet whatever it took
    await world.receive("q", 1)
    world.advance(0.001)
    await world.send("q", "b1", group_id="quick")
    assert await world.receive_bodies("q") == ["b1", "a3"]


async def test_processing_time_is_forgotten_after_two_minutes(world: World) -> None:
    await world.create("q", visibility_timeout_seconds=1000)
    await world.send("q", "a1", "a2", "a3", group_id="slow")
    slow = await world.take("q")
    world.advance(10)
    await world.delete("q", slow)
    await world.receive("q", 1)
    world.advance(120)
    await world.send("q", "b1", group_id="quick")
    assert await world.receive_bodies("q") == ["a3", "b1"]


async def test_noise_is_shown(world: World) -> None:
    await world.create("q")
    await world.send("q", *["noisy"] * 31, group_id="noisy")
    await world.receive("q", 30)
    await world.send("q", "quiet", group_id="quiet")
    await world.receive("q", 1)
    ready_at = world.now
    assert await world.groups("q") == {
        "noisy": GroupView("noisy", waiting=1, in_flight=30, ready_at=ready_at, is_noisy=True),
        "quiet": GroupView("quiet", waiting=0, in_flight=1, ready_at=ready_at + 30_000),
    }


async def test_priority_holds_within_and_across_groups(world: World) -> None:
    await world.create("q")
    await world.send("q", "a low", group_id="a")
    await world.send("q", "a high", group_id="a", priority=9)
    await world.send("q", "b middle", group_id="b", priority=5)
    assert await world.receive_bodies("q") == ["a high", "b middle", "a low"]


async def test_a_group_holds_at_most_its_limit_of_leases(world: World) -> None:
    await world.create("q", group_max_in_flight=2)
    await world.send("q", "a1", "a2", "a3", group_id="a")
    await world.send("q", "b1", group_id="b")
    held = await world.receive("q")
    assert bodies(held) == ["a1", "a2", "b1"]
    assert await world.receive("q") == ()
    await world.delete("q", held[0])
    assert await world.receive_bodies("q") == ["a3"]


async def test_a_groups_limit_is_freed_when_the_first_of_its_leases_ends(world: World) -> None:
    await world.create("q", group_max_in_flight=2)
    await world.send("q", "a1", "a2", "a3", group_id="a")
    await world.receive("q", 1, visibility_timeout_seconds=20)
    await world.receive("q", 1, visibility_timeout_seconds=10)
    assert (await world.groups("q"))["a"].ready_at == world.now + 10_000
    world.advance(10)
    assert await world.receive_bodies("q") == ["a2"]


async def test_a_full_group_does_not_hold_up_messages_without_a_group(world: World) -> None:
    await world.create("q", group_max_in_flight=1)
    await world.send("q", "a1", "a2", group_id="a")
    world.advance(0.001)
    await world.send("q", "alone1", "alone2")
    assert await world.receive_bodies("q") == ["a1", "alone1", "alone2"]


async def test_raising_a_groups_limit_lets_it_go_on_at_once(world: World) -> None:
    await world.create("q", group_max_in_flight=1)
    await world.send("q", "a1", "a2", "a3", "a4", group_id="a")
    await world.receive("q")
    await world.update("q", group_max_in_flight=2)
    assert await world.receive_bodies("q") == ["a2"]
    await world.update("q", group_max_in_flight=None)
    assert await world.receive_bodies("q") == ["a3", "a4"]


async def test_lowering_a_groups_limit_holds_at_once(world: World) -> None:
    await world.create("q")
    await world.send("q", "a1", "a2", "a3", group_id="a")
    held = await world.receive("q", 2)
    await world.update("q", group_max_in_flight=1)
    assert await world.receive("q") == ()
    await world.delete("q", held[0])
    assert await world.receive("q") == ()
    await world.delete("q", held[1])
    assert await world.receive_bodies("q") == ["a3"]


async def test_a_group_over_a_lowered_limit_waits_until_enough_of_its_leases_have_ended(world: World) -> None:
    await world.create("q")
    await world.send("q", "a1", "a2", "a3", "a4", group_id="a")
    for seconds in (10, 30, 20):
        await world.receive("q", 1, visibility_timeout_seconds=seconds)
    await world.update("q", group_max_in_flight=2)
    assert (await world.groups("q"))["a"].ready_at == world.now + 20_000
    world.advance(10)
    assert await world.receive("q") == ()
    world.advance(10)
    assert len(await world.receive("q")) == 1


async def test_at_one_instant_ungrouped_messages_come_before_groups(world: World) -> None:
    await world.create("q")
    await world.send("q", "grouped", group_id="g")
    await world.send("q", "alone")
    assert await world.receive_bodies("q") == ["alone", "grouped"]


async def test_grouped_and_ungrouped_messages_come_by_what_was_receivable_first(world: World) -> None:
    await world.create("q")
    for name, group_id in (("1", "g"), ("2", None), ("3", "g"), ("4", None), ("5", "h")):
        await world.send("q", name, group_id=group_id)
        world.advance(0.001)
    assert await world.receive_bodies("q") == ["1", "2", "3", "4", "5"]


async def test_a_delayed_message_does_not_hold_up_its_group(world: World) -> None:
    await world.create("q")
    await world.send("q", "late", group_id="a", delay_seconds=10)
    await world.send("q", "now", group_id="a")
    assert await world.receive_bodies("q") == ["now"]
    world.advance(10)
    assert await world.receive_bodies("q") == ["late"]
