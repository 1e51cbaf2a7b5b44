"""Logging in with a name and a password or with a key: what the cookie is worth, to whom, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from penstock.broker.local import LocalBroker
from penstock.broker.system import SystemClock
from penstock.core.operations import CreateQueue
from penstock.server.directory import passwords
from penstock.server.directory.throttle import MOST_REMEMBERED, WINDOW_SECONDS, Throttle, TooManyFailures
from penstock.server.directory.users import UserChange, Users, UserWish
from penstock.server.options import Key
from penstock.server.server import Server
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from tests.support.server import serving

ADMIN = Key("ADMIN", "the secret of the admin")
PASSWORD = "correct horse battery staple"
CONSOLE = {"x-penstock-console": "1"}


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", (1 << 4, 8, 1))


class Place:
    """A server with users ``vera`` (view), ``olga`` (operate:orders-*) and a browser."""

    def __init__(self, server: Server, browser: httpx.AsyncClient, users: Users) -> None:
        self.server = server
        self.browser = browser
        self.users = users

    async def log_in(self, name: str = "vera", secret: str = PASSWORD, **headers: str) -> httpx.Response:
        return await self.browser.post("/access/login", json={"name": name, "secret": secret}, headers=headers)

    async def me(self) -> int:
        return (await self.browser.get("/access/me")).status_code

    async def change(self, name: str, change: UserChange | None) -> None:
        await (self.users.delete_user(name) if change is None else self.users.change_user(name, change))
        await self.server.entrance.roster.look()


@asynccontextmanager
async def place(store: MemoryStore | None = None, **options: Any) -> AsyncIterator[Place]:
    store = store or MemoryStore()
    users = Users(LocalBroker(store), account="0" * 12, now_ms=SystemClock().now_ms)
    if not await users.load():
        await users.create_user(UserWish("vera", ("view",), PASSWORD), "test")
        await users.create_user(UserWish("olga", ("operate:orders-*",), PASSWORD), "test")
        await LocalBroker(store).perform(CreateQueue("orders-eu"))
    async with serving(store, **{"keys": (ADMIN,), **options}) as server, httpx.AsyncClient() as browser:
        browser.base_url = httpx.URL(server.url)
        yield Place(server, browser, users)


async def test_a_login_is_a_cookie_that_no_script_reads_and_no_other_site_sends() -> None:
    async with place() as here:
        assert await here.me() == 401
        answer = await here.log_in()
        assert answer.status_code == 204
        (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
        assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
        assert len(morsel.value) >= 43
        assert answer.headers["cache-control"] == "no-store"
        me = (await here.browser.get("/access/me")).json()
        assert (me["user"], me["allow"], me["is_login"]) == ("vera", ["view:*"], True)
        assert (await here.browser.get("/v1/queues")).status_code == 200


async def test_over_tls_the_cookie_is_for_tls_and_this_host_only() -> None:
    async with place(public_url="https://queues.example.com", trusted_proxies=("127.0.0.1/32",)) as here:
        answer = await here.log_in(**{"x-forwarded-proto": "https"})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-penstock")
        assert "; Secure" in cookie


@pytest.mark.parametrize(
    ("name", "secret"),
    [("vera", "wrong"), ("vera", ""), ("nobody", PASSWORD), ("", ""), ("ADMIN", "wrong"), ("vera", "x" * 100_000)],
)
async def test_a_wrong_pair_is_no_login_and_does_not_tell_which_half_is_wrong(name: str, secret: str) -> None:
    async with place() as here:
        answer = await here.log_in(name, secret)
        assert (answer.status_code, answer.json()["detail"]) == (401, "Name or secret is wrong.")
        assert "set-cookie" not in answer.headers


async def test_a_key_logs_in_too_and_may_do_what_the_key_may() -> None:
    async with place() as here:
        assert (await here.log_in(ADMIN.access_key_id, ADMIN.secret)).status_code == 204
        assert (await here.browser.get("/access/keys")).status_code == 200


async def test_a_login_may_do_what_the_user_may_and_no_more() -> None:
    async with place() as here:
        await here.log_in()
        refused = await here.browser.post("/v1/queues/orders-eu/purge", json={}, headers=CONSOLE)
        assert refused.status_code == 403
        assert "vera" in refused.json()["detail"]
        await here.log_in("olga")
        assert (await here.browser.post("/v1/queues/orders-eu/purge", json={}, headers=CONSOLE)).status_code == 200
        assert (await here.browser.delete("/v1/queues/orders-eu", headers=CONSOLE)).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**CONSOLE, "sec-fetch-site": "cross-site"},
        {**CONSOLE, "sec-fetch-site": "same-site"},
        {**CONSOLE, "origin": "https://evil.example"},
        {**CONSOLE, "origin": "null"},
    ],
)
async def test_a_page_of_another_site_cannot_use_a_login(headers: dict[str, str]) -> None:
    async with place() as here:
        await here.log_in("olga")
        answer = await here.browser.post("/v1/queues/orders-eu/purge", json={}, headers=headers)
        assert answer.status_code == 403
        if headers:
            assert (await here.browser.get("/v1/queues", headers=headers)).status_code == 403
            assert (await here.log_in("vera", **headers)).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/?Action=ListQueues"),
        ("POST", "/"),
        ("GET", "/aweq/get-stats"),
        ("GET", "/wq/"),
        ("GET", "/_aws/x"),
    ],
)
async def test_a_login_counts_where_requests_come_from_the_console_only(method: str, path: str) -> None:
    async with place() as here:
        await here.log_in(ADMIN.access_key_id, ADMIN.secret)
        assert (await here.browser.request(method, path, headers=CONSOLE)).status_code in (401, 403)


async def test_who_logs_out_is_out_on_every_server() -> None:
    store = MemoryStore()
    clock = ManualClock()
    async with place(store, clock=clock) as here, place(store, clock=clock) as there:
        await here.log_in()
        token = next(iter(here.browser.cookies.jar)).value
        name = f"penstock-{httpx.URL(there.server.url).port}"
        there.browser.cookies.set(name, str(token))
        assert [await here.me(), await there.me()] == [200, 200]
        answer = await here.browser.post("/access/logout")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        here.browser.cookies.set(f"penstock-{httpx.URL(here.server.url).port}", str(token))
        assert await here.me() == 401
        clock.advance(2)
        assert await there.me() == 401


async def test_a_login_ends_when_nothing_is_heard_of_it_and_lasts_while_something_is() -> None:
    clock = ManualClock()
    async with place(clock=clock, session_idle_seconds=600, session_seconds=3600) as here:
        await here.log_in()
        for _ in range(5):
            clock.advance(590)
            assert await here.me() == 200
        clock.advance(601)
        assert await here.me() == 401


async def test_a_login_ends_some_day_though_it_is_used() -> None:
    clock = ManualClock()
    async with place(clock=clock, session_idle_seconds=600, session_seconds=3600) as here:
        await here.log_in()
        for _ in range(7):
            clock.advance(500)
            assert await here.me() == 200
        clock.advance(101)
        assert await here.me() == 401


@pytest.mark.parametrize("change", [UserChange(password="another long password"), None], ids=["password", "deleted"])
async def test_another_password_and_being_deleted_end_the_logins(change: UserChange | None) -> None:
    async with place() as here:
        await here.log_in()
        await here.change("vera", change)
        assert await here.me() == 401
        assert (await here.log_in()).status_code == 401


async def test_other_rights_hold_at_once() -> None:
    async with place() as here:
        await here.log_in()
        await here.change("vera", UserChange(allow=("operate",)))
        assert (await here.browser.post("/v1/queues/orders-eu/purge", json={}, headers=CONSOLE)).status_code == 200


async def test_a_token_that_nobody_was_given_is_no_login() -> None:
    async with place() as here:
        port = httpx.URL(here.server.url).port
        for token in ("x", "A" * 43, "../key/x", "é"):
            answer = await here.browser.get("/access/me", headers={b"cookie": f"penstock-{port}={token}".encode()})
            assert answer.status_code == 401


async def test_no_password_and_no_token_is_in_the_store() -> None:
    store = MemoryStore()
    async with place(store) as here:
        await here.log_in()
        token = str(next(iter(here.browser.cookies.jar)).value)
        kept = b"".join(each.key.encode() + each.value for each in await store.find_records("", None, "", 100, 0))
    assert b"scrypt$" in kept
    assert token.encode() not in kept
    assert PASSWORD.encode() not in kept


async def test_passwords_are_hashed_apart_and_known_again() -> None:
    hashing = passwords.Passwords()
    one, other = await asyncio.gather(hashing.kept(PASSWORD), hashing.kept(PASSWORD))
    assert one != other
    assert await hashing.is_right(PASSWORD, one)
    assert not await hashing.is_right(PASSWORD + "x", one)
    assert not await hashing.is_right("x" * passwords.SHORTEST, None)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "vera", "allow": ["view"], "password": PASSWORD},
        {"name": "new", "allow": ["view"], "password": "short"},
        {"name": "new", "allow": [], "password": PASSWORD},
        {"name": "new", "allow": ["lead"], "password": PASSWORD},
        {"name": "a/b", "allow": ["view"], "password": PASSWORD},
        {"name": "new", "allow": ["view"]},
    ],
    ids=str,
)
async def test_a_user_who_cannot_be_meant_is_not_made(body: dict[str, Any]) -> None:
    async with place() as here:
        await here.log_in(ADMIN.access_key_id, ADMIN.secret)
        answer = await here.browser.post("/access/users", json=body, headers=CONSOLE)
        assert answer.status_code == 400
        listed = (await here.browser.get("/access/users")).json()["users"]
        assert [each["name"] for each in listed] == ["olga", "vera"]


# -- guessing ----------------------------------------------------------------------------------------------------------


async def test_who_guesses_passwords_has_to_wait_though_one_is_right() -> None:
    async with place() as here:
        answers = [(await here.log_in("vera", f"guess {number}")).status_code for number in range(12)]
        assert answers == [401] * 10 + [429] * 2
        refused = await here.log_in()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert (await here.log_in("olga")).status_code == 204


async def test_who_guesses_the_secret_of_a_key_has_to_wait_in_every_dialect() -> None:
    async with place() as here:
        for number in range(100):
            wrong = {"authorization": f"Bearer {ADMIN.access_key_id}:{number}"}
            assert (await here.browser.get("/v1/queues", headers=wrong)).status_code == 401
        right = {"authorization": f"Bearer {ADMIN.access_key_id}:{ADMIN.secret}"}
        assert (await here.browser.get("/v1/queues", headers=right)).status_code == 429
        sqs = await here.browser.post("/", headers={**right, "x-amz-target": "AmazonSQS.ListQueues"}, json={})
        assert (sqs.status_code, sqs.json()["__type"].rpartition("#")[2]) == (400, "ThrottlingException")


class Seconds:
    """A clock of seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def throttle() -> tuple[Throttle, Seconds]:
    seconds = Seconds()
    return Throttle(3, 10, seconds), seconds


def is_made_to_wait(guarded: Throttle, address: str, name: str) -> bool:
    try:
        guarded.check(address, name)
    except TooManyFailures:
        return True
    return False


def test_waiting_ends_and_memory_with_it() -> None:
    guarded, seconds = throttle()
    for _ in range(3):
        guarded.failed("192.0.2.1", "vera")
    assert is_made_to_wait(guarded, "192.0.2.1", "vera")
    assert not is_made_to_wait(guarded, "192.0.2.1", "olga")
    assert not is_made_to_wait(guarded, "192.0.2.2", "vera")
    seconds.now = WINDOW_SECONDS
    assert not is_made_to_wait(guarded, "192.0.2.1", "vera")
    assert not guarded.is_watching


def test_one_address_cannot_try_many_names_nor_many_addresses_one_name() -> None:
    guarded, _ = throttle()
    for number in range(10):
        guarded.failed("192.0.2.1", f"user {number}")
        guarded.failed(f"198.51.100.{number}", "vera")
    assert is_made_to_wait(guarded, "192.0.2.1", "somebody else")
    assert is_made_to_wait(guarded, "203.0.113.1", "vera")


def test_nobody_is_locked_out_from_where_they_have_proven_themselves() -> None:
    guarded, _ = throttle()
    guarded.succeeded("203.0.113.1", "vera")
    for number in range(50):
        guarded.failed(f"198.51.100.{number}", "vera")
    assert not is_made_to_wait(guarded, "203.0.113.1", "vera")
    assert is_made_to_wait(guarded, "203.0.113.2", "vera")


def test_an_ipv6_network_is_one_address() -> None:
    guarded, _ = throttle()
    for number in range(3):
        guarded.failed(f"2001:db8:1:2::{number:x}", "vera")
    assert is_made_to_wait(guarded, "2001:db8:1:2:ffff::1", "vera")
    assert not is_made_to_wait(guarded, "2001:db8:1:3::1", "vera")


def test_memory_of_failures_is_bounded() -> None:
    guarded, _ = throttle()
    for number in range(MOST_REMEMBERED):
        guarded.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "x" * 1000)
    assert len(guarded._failures) <= MOST_REMEMBERED
