"""The console on the stores that people use in earnest: every view shows there what it shows on the others."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from penstock.testing import server
from tests.browser.calling import Rest
from tests.browser.conftest import Open
from tests.browser.scene import Jobs, fill, staffed, until
from tests.browser.test_views import PLACES
from tests.support import postgres, redis_server

STORES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder}/console.db",
    "redis": lambda folder: f"{redis_server.shared_server().url}?tag={quote(str(folder), safe='')}",
    "postgres": lambda folder: f"{postgres.shared_server().url}?schema=console&connections=4",
}


@pytest.mark.parametrize("store", STORES)
def test_every_view_is_shown_on_every_store(open_page: Open, tmp_path: Path, store: str) -> None:
    with server(STORES[store](tmp_path), limits="relaxed") as running:
        rest, jobs = Rest(running.url), Jobs(running.url)
        ids = fill(rest)
        with jobs.working():
            ids |= jobs.send_all()
            with staffed(rest, ids["running"]):
                seen = open_page(running.url)
                for place, expected in PLACES.values():
                    expect(seen.go(place.format(**ids)).locator("main")).to_contain_text(expected)
                page = seen.go("queue/orders")
                page.get_by_label("Text in the body").fill('"order": 39,')
                page.get_by_role("button", name="Search").click()
                expect(page.locator("tbody tr")).to_have_count(1)
                page = seen.go("dead/orders-dead")
                page.get_by_role("button", name="Redrive all…").click()
                page.get_by_label("Begins").select_option("At once")
                page.get_by_role("button", name="Redrive", exact=True).click()
                expect(page.get_by_role("row", name="completed")).to_be_visible()
                until(lambda: rest.counts("orders-dead")["ready"] == 0, "they are back")
        jobs.app.close()
