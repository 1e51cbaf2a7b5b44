"""The console of a server that asks who one is: logging in and out, what a role may not use, a login that ends."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from penstock.server.directory import passwords
from penstock.testing import server
from penstock.testing.running import RunningServer
from tests.browser.calling import Rest
from tests.browser.conftest import Open, Watched

PASSWORD = "correct horse battery staple"


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A server with queues ``orders-eu`` and ``billing``, and users ``ann`` (admin), ``vera`` (view:orders-*)."""
    monkeypatch.setattr(passwords, "COST", (1 << 4, 8, 1))
    with server(limits="relaxed", keys={"ops": "sesame"}) as running:
        rest = Rest(running.url, "ops:sesame")
        for queue in ("orders-eu", "billing"):
            rest.create(queue)
            rest.send(queue, f"in {queue}")
        for name, allow in (("ann", "admin"), ("vera", "view:orders-*")):
            rest("POST", "/access/users", {"name": name, "allow": [allow], "password": PASSWORD})
        yield running


def log_in(seen: Watched, name: str, password: str = PASSWORD) -> None:
    seen.page.get_by_label("User or access key id").fill(name)
    seen.page.get_by_label("Password or secret").fill(password)
    seen.page.keyboard.press("Enter")


def test_somebody_logs_in_is_told_who_they_are_and_logs_out(open_page: Open, guarded: RunningServer) -> None:
    seen = open_page(guarded.url)
    page = seen.go("")
    seen.shoot("login")
    log_in(seen, "ann", "wrong password")
    expect(page.get_by_role("alert").last).to_contain_text("not accepted")
    expect(page.get_by_label("User or access key id")).to_have_value("ann")
    log_in(seen, "ann")
    expect(page.get_by_role("link", name="billing")).to_be_visible()
    expect(page.locator("header")).to_contain_text("ann")
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("JSON.stringify([localStorage, sessionStorage])") == "[{},{}]"
    page.reload()
    expect(page.get_by_role("link", name="billing")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("User or access key id")).to_be_visible()
    page.reload()
    expect(page.get_by_label("User or access key id")).to_be_visible()


def test_an_admin_sees_who_changed_what(open_page: Open, guarded: RunningServer) -> None:
    seen = open_page(guarded.url)
    page = seen.go("queue/billing")
    log_in(seen, "ann")
    with page.expect_response(lambda answer: answer.request.method == "PATCH"):  # the stream may show it before
        page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("link", name="Audit").click()
    row = page.get_by_role("row").filter(has_text="UpdateQueue")
    for text in ("ann", "billing", "is_paused", "done", "127.0.0.1"):
        expect(row).to_contain_text(text)
    seen.shoot("audit")
    page.get_by_label("Who").fill("nobody")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("main")).to_contain_text("Nothing was noted")


def test_who_may_only_look_sees_their_queues_and_why_they_may_do_no_more(
    open_page: Open, guarded: RunningServer
) -> None:
    seen = open_page(guarded.url)
    page = seen.go("")
    log_in(seen, "vera")
    expect(page.get_by_role("link", name="orders-eu")).to_be_visible()
    expect(page.get_by_role("link", name="billing")).to_have_count(0)
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    create = page.get_by_role("button", name="Create queue")
    expect(create).to_be_disabled()
    expect(create).to_have_attribute("title", re.compile("vera may not do this"))
    seen.go("queue/orders-eu")
    for name in ("Pause", "Purge…", "Delete…"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    expect(page.get_by_text("in orders-eu")).to_be_visible()
    seen.shoot("may-only-look")
    seen.go("queue/billing")
    expect(page.get_by_role("alert").first).to_contain_text("may not perform")


def test_a_login_that_ends_loses_nothing_of_what_was_typed(open_page: Open, guarded: RunningServer) -> None:
    seen = open_page(guarded.url)
    page = seen.go("hand/orders-eu")
    log_in(seen, "ann")
    body = page.get_by_label("Body", exact=True)
    body.fill("typed before it ended")
    seen.page.context.clear_cookies()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Your login has ended")
    expect(page.get_by_label("User or access key id")).to_have_value("ann")
    seen.shoot("login-ended")
    log_in(seen, "ann")
    expect(page.locator("main")).to_contain_text("sent")
    rest = Rest(guarded.url, "ops:sesame")
    bodies = [each["body"] for each in rest("GET", "/v1/queues/orders-eu/messages")["messages"]]
    assert bodies == ["in orders-eu", "typed before it ended"]


def test_a_login_that_ends_while_somebody_types_does_not_take_their_keyboard(
    open_page: Open, guarded: RunningServer
) -> None:
    seen = open_page(guarded.url)
    page = seen.go("hand/orders-eu")
    log_in(seen, "ann")
    expect(page.locator("#queues option")).to_have_count(1)  # nothing more is asked for by itself
    guarded.advance(13 * 3600)  # it ends, whatever is heard of it
    page.get_by_label("Queue", exact=True).press("End")
    with page.expect_response(lambda answer: answer.status == 401):
        page.get_by_label("Queue", exact=True).press_sequentially("-2")  # what fits is asked for at each key
    said = page.get_by_role("alert").filter(has_text="Your login has ended.")
    expect(said).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.type("xy")
    expect(page.get_by_label("Queue", exact=True)).to_have_value("orders-eu-2xy")
    page.get_by_label("Queue", exact=True).fill("orders-eu")
    page.get_by_label("Body", exact=True).fill("half a tho")
    seen.shoot("login-ended-typing")
    page.get_by_role("button", name="Send", exact=True).click()  # now it is needed
    page.get_by_role("button", name="Later").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_label("Body", exact=True).press_sequentially("ught")
    expect(said).to_be_visible()
    said.get_by_role("button", name="Log in").click()
    log_in(seen, "ann")
    expect(said).to_be_hidden()
    expect(page.get_by_label("Body", exact=True)).to_have_value("half a thought")
    expect(page.get_by_label("Answer")).to_contain_text("sent")  # what was asked for before is done


def test_a_stream_that_ends_with_the_login_says_so_and_goes_on_behind_it(
    open_page: Open, guarded: RunningServer
) -> None:
    seen = open_page(guarded.url)
    page = seen.go("")
    log_in(seen, "ann")
    expect(page.get_by_role("link", name="billing")).to_be_visible()
    guarded.advance(13 * 3600)
    expect(page.get_by_role("dialog")).to_contain_text("Your login has ended")
    expect(page.get_by_role("link", name="billing")).to_be_visible()
    log_in(seen, "ann")
    Rest(guarded.url, "ops:sesame").create("afterwards")
    expect(page.get_by_role("link", name="afterwards")).to_be_visible()
