"""What is open in a browser while the store of a running server goes away and comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from penstock.testing import server
from penstock.testing.running import RunningServer
from tests.browser.calling import Rest
from tests.browser.conftest import Open
from tests.browser.test_views import DESK, PHONE, PLACES
from tests.support.redis_server import RedisServer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of one's own that keeps what it answered."""
    server = RedisServer(tmp_path, appendonly="yes", appendfsync="always").start()
    yield server
    server.kill()


@pytest.fixture
def on_redis(redis: RedisServer) -> Iterator[RunningServer]:
    with server(f"{redis.url}?tag=console&patience_seconds=1", limits="relaxed") as running:
        yield running


def width_of(page: Page) -> int:
    """Return how wide a page is on a phone."""
    page.set_viewport_size(PHONE)
    width: int = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(DESK)
    return width


def test_a_store_that_goes_away_is_told_and_everything_goes_on_when_it_is_back(
    open_page: Open, redis: RedisServer, on_redis: RunningServer
) -> None:
    rest = Rest(on_redis.url)
    rest.create("orders")
    (sent, *_) = rest.send("orders", "first", "second")
    seen, sending = open_page(on_redis.url), open_page(on_redis.url)
    page, hand = seen.go("queue/orders"), sending.go("hand/orders")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Text in the body").fill("second")
    page.get_by_role("checkbox", name=f"Select {sent}").check()
    hand.get_by_label("Body", exact=True).fill("do not lose me")
    hand.get_by_label("Attributes").fill("source = console")

    redis.kill()
    banner = page.locator(".banner").filter(has_text="What is shown is from before")
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("Redis")
    expect(page.locator("tbody tr")).to_have_count(2)
    seen.shoot("store-away")
    assert width_of(page) <= PHONE["width"]
    hand.get_by_role("button", name="Send", exact=True).click()
    expect(hand.get_by_role("alert").filter(has_text="Redis").first).to_be_visible()
    expect(hand.get_by_label("Body", exact=True)).to_have_value("do not lose me")
    late = open_page(on_redis.url).go(f"message/{sent}")
    expect(late.get_by_role("heading", name="This cannot be shown now")).to_be_visible()

    redis.start()
    expect(banner).to_be_hidden()
    expect(page.get_by_label("Text in the body")).to_have_value("second")
    expect(page.get_by_role("checkbox", name=f"Select {sent}")).to_be_checked()
    expect(late.get_by_label("Body")).to_have_text("first")
    expect(hand.get_by_label("Attributes")).to_have_value("source = console")
    hand.get_by_role("button", name="Send", exact=True).click()
    expect(hand.get_by_label("Answer")).to_contain_text("message_id")
    expect(page.locator(".tile").filter(has_text="ready")).to_contain_text("3")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_views_that_are_opened_while_the_store_is_away_say_so_and_come_by_themselves(
    open_page: Open, redis: RedisServer, on_redis: RunningServer
) -> None:
    rest = Rest(on_redis.url)
    for queue in ("orders", "payments", "default-dead"):
        rest.create(queue)
    redis.kill()
    ids = dict.fromkeys(("order", "failed", "running", "succeeded", "workflow"), "0" * 36)
    pages = [open_page(on_redis.url).go(place.format(**ids)) for name, (place, _) in PLACES.items() if name != "hand"]
    trouble = [page.get_by_role("alert").filter(has_text="Redis") for page in pages]
    for page, told in zip(pages, trouble, strict=True):
        expect(told.first).to_be_visible()
        expect(page.locator("main h1").first).not_to_be_empty()
        assert width_of(page) <= PHONE["width"], page.url
    redis.start()
    for page, told in zip(pages, trouble, strict=True):
        expect(told).to_have_count(0)
        expect(page.get_by_role("heading", name="This cannot be shown now")).to_have_count(0)


def test_a_page_that_nobody_looks_at_asks_for_nothing(open_page: Open, empty_server: str) -> None:
    page = open_page(empty_server).go("")
    expect(page.locator("main")).to_contain_text("No queues yet")
    show = """isHidden => {
        Object.defineProperty(document, "hidden", {value: isHidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_event("requestfailed", lambda request: "/overview" in request.url):
        page.evaluate(show, True)
    Rest(empty_server).create("meanwhile")
    with page.expect_request("**/overview**"):
        page.evaluate(show, False)
    expect(page.get_by_role("link", name="meanwhile")).to_be_visible()
