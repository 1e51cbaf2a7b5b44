"""Keys, users, logins and the audit log are records: they work the same on every store."""

import asyncio

import pytest

from penstock.core.errors import InvalidRequest
from penstock.server.audit import Audit, Entry
from penstock.server.directory import passwords
from penstock.server.directory.directory import REMEMBERED_MS, Directory
from penstock.server.directory.masters import Masters, digest_of
from penstock.server.directory.sessions import Sessions
from penstock.server.directory.shapes import Grace, KeyWish
from penstock.server.directory.users import UserChange, Users, UserWish
from tests.support.world import World

ACCOUNT = "000000000000"


async def test_keys_are_made_rotated_and_forgotten_in_the_end(
    near_world: World, request: pytest.FixtureRequest
) -> None:
    world = near_world
    # what guards say of records on another shard is looked at before the step, not in it: see decision 0015
    takes_turns = asyncio.Semaphore(1 if "shards" in request.node.name else 2)
    masters = Masters(("a master key of more than thirty-two characters",))
    directory = Directory(world.broker, masters, account=ACCOUNT, now_ms=world.clock.now_ms)
    before = await directory.version()
    made = await directory.create_key(KeyWish(("operate:orders-*",), name="shop"), "test")

    async def rotate() -> None:
        async with takes_turns:
            await directory.rotate_key(made.key.key_id, Grace(60), "test")

    both = await asyncio.gather(rotate(), rotate(), return_exceptions=True)
    assert sum(isinstance(each, InvalidRequest) for each in both) == 1
    assert before is None
    assert [each.status for each in await directory.list_keys()] == ["ending", "active"]
    world.clock.advance(60)
    assert [each.status for each in await directory.list_keys()] == ["expired", "active"]
    world.clock.advance(REMEMBERED_MS / 1000)
    assert [each.status for each in await directory.list_keys()] == ["active"]


async def test_users_and_their_logins(near_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = near_world
    monkeypatch.setattr(passwords, "COST", (1 << 4, 8, 1))
    users = Users(world.broker, account=ACCOUNT, now_ms=world.clock.now_ms)
    await users.create_user(UserWish("vera", ("view",), "a long password"), "test")
    with pytest.raises(InvalidRequest, match="already"):
        await users.create_user(UserWish("vera", ("admin",), "a long password"), "test")
    await users.change_user("vera", UserChange(allow=("operate",)))
    assert [each.allow for each in await users.list_users()] == [("operate:*",)]
    here, there = (
        Sessions(world.broker, now_ms=world.clock.now_ms, idle_seconds=60, whole_seconds=3600) for _ in range(2)
    )
    digest = digest_of(await here.begin("user", "vera", 1))
    assert await there.find(digest) == await here.find(digest) is not None
    world.clock.advance(61)
    assert await there.find(digest) is None
    await users.delete_user("vera")
    assert await users.load() == {}


async def test_the_audit_log_is_read_the_latest_first(near_world: World) -> None:
    log = Audit(near_world.broker, near_world.clock.now_ms)
    for number in range(5):
        near_world.clock.advance(1)
        await log.note(Entry(near_world.now, "somebody", f"Act{number}"))
    first = await log.read(limit=3)
    rest = await log.read(limit=3, after=first.next_after or "")
    assert [each.action for each in (*first.entries, *rest.entries)] == [f"Act{number}" for number in (4, 3, 2, 1, 0)]
