"""Every view, on a desk, in the dark and on a phone: it shows what there is, and everybody can use it."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Scene, Watched

PLACES = {
    "queues": ("", "orders"),
    "queue": ("queue/orders", "customer-"),
    "groups": ("queue/payments/groups", "payment 0"),
    "settings": ("queue/orders/settings", "Visibility timeout"),
    "message": ("message/{order}", '"order"'),
    "gone": ("message/0000", "no such message"),
    "hand": ("hand/orders", "Batch size"),
    "dead": ("dead", "orders-dead"),
    "causes": ("dead/default-dead", "ConnectionError"),
    "jobs-running": ("jobs?status=running", "render_catalogue"),
    "jobs-failed": ("jobs?status=failed", "mail server refused"),
    "job-failed": ("job/{failed}", "Traceback"),
    "job-running": ("job/{running}", "page 12 has no picture"),
    "job-succeeded": ("job/{succeeded}", "authorised"),
    "job-unknown": ("job/0000", "Nothing is known"),
    "workflows": ("workflows", "pack"),
    "workflow": ("workflow/{workflow}", "weigh 2"),
    "workers": ("workers", "draining"),
    "schedules": ("schedules", "nightly-report"),
}
DIALOGS = {
    "create-queue": ("", "Create queue"),
    "actions": ("", "Actions on emails"),
    "purge": ("queue/orders", "Purge…"),
    "resend": ("message/{order}", "Edit and re-send…"),
    "redrive": ("dead/default-dead", "Redrive all…"),
    "schedule": ("schedules", "Create schedule"),
    "drain": ("workers", "Drain shop-1@host-b"),
}
MOST_TABS = 40
FOCUS = """() => {
    const at = document.activeElement;
    if (at === document.body) return null;
    const box = at.getBoundingClientRect();
    const style = getComputedStyle(at);
    const shape = at.querySelector("rect");
    return {
        what: at.outerHTML.slice(0, 200),
        isMarked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
            || shape !== null && parseFloat(getComputedStyle(shape).strokeWidth) > 2,
        isSeen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
}"""
"""Of what has the focus: whether that can be seen; null at the end."""

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
AXE = Path(__file__).with_name("js") / "node_modules" / "axe-core" / "axe.min.js"


@pytest.mark.parametrize("name", PLACES)
def test_a_view_shows_what_there_is_on_every_screen(showing: Watched, scene: Scene, name: str) -> None:
    place, expected = PLACES[name]
    page = showing.go(place.format(**scene.ids))
    expect(page.locator("main h1").first).to_be_visible()
    expect(page.locator("main")).to_contain_text(expected)
    showing.shoot(name)
    found = serious(page)
    page.emulate_media(color_scheme="dark")
    showing.shoot(f"{name}-dark")
    found += serious(page, {"runOnly": ["color-contrast"]})
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)
    showing.shoot(f"{name}-phone")
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(DESK)
    assert width <= PHONE["width"], "wider than a phone"
    assert found == []
    assert showing.wrong == []


@pytest.mark.parametrize("name", DIALOGS)
def test_a_dialog_is_for_everybody_and_gives_the_focus_back(showing: Watched, scene: Scene, name: str) -> None:
    place, opener = DIALOGS[name]
    page = showing.go(place.format(**scene.ids))
    button = page.get_by_role("button", name=opener).first
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    showing.shoot(f"dialog-{name}")
    found = serious(page)
    page.set_viewport_size(PHONE)
    showing.shoot(f"dialog-{name}-phone")
    box = dialog.bounding_box()
    page.set_viewport_size(DESK)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    assert found == []
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


@pytest.mark.parametrize("name", PLACES)
def test_whoever_goes_by_keyboard_sees_where_they_are(showing: Watched, scene: Scene, name: str) -> None:
    place, expected = PLACES[name]
    page = showing.go(place.format(**scene.ids))
    expect(page.locator("main")).to_contain_text(expected)
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        where = page.evaluate(FOCUS)
        if where is None:
            break
        assert where["isMarked"], where
        assert where["isSeen"], where


def test_an_empty_server_says_what_to_do_next(open_page: Open, empty_server: str) -> None:
    seen = open_page(empty_server)
    for place, expected in {
        "": "No queues yet",
        "dead": "No dead-letter queues",
        "jobs": "No jobs are running",
        "workflows": "No workflows",
        "workers": "No workers live",
        "schedules": "No schedules",
    }.items():
        expect(seen.go(place).locator("main")).to_contain_text(expected)


def serious(page: Page, options: dict[str, Any] | None = None) -> list[str]:
    """Return what axe finds serious or critical, and where."""
    if not page.evaluate("Boolean(window.axe)"):
        assert AXE.exists(), "no axe: run make setup-test"
        page.evaluate(AXE.read_text())
    # the rows of a table are alike: to look at all of them takes seconds and finds nothing else
    told = page.evaluate(
        "options => axe.run({exclude: [['tbody tr:nth-child(n+6)']]}, options)",
        {"resultTypes": ["violations"]} | (options or {}),
    )
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in told["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
