"""Real Chromium on a real server with real jobs. All of it in one process of the test run: a browser is heavy."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from penstock.testing import server
from penstock.testing.running import RunningServer
from tests.browser.calling import Rest
from tests.browser.scene import Jobs, fill, staffed

SCREENSHOTS = Path(__file__).with_name("screenshots")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 20_000
NAMES = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(
    scope="package"
)  # while Playwright runs, its event loop is that of the thread: async tests could not run
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program is not None, "no Chromium: run make setup-test"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, headless=True)
        yield browser
        browser.close()


class Scene:
    """A server with all there is to see.

    Attributes:
        url: of the server.
        rest: calls it.
        jobs: sends more jobs.
        ids: of messages, jobs and a workflow, by what they are.
    """

    def __init__(self, running: RunningServer, jobs: Jobs, ids: dict[str, str]) -> None:
        self.url = running.url
        self.rest = Rest(running.url)
        self.jobs = jobs
        self.ids = ids


@pytest.fixture(scope="package")
def scene() -> Iterator[Scene]:
    with server(limits="relaxed") as running:
        rest = Rest(running.url)
        ids = fill(rest)
        jobs = Jobs(running.url)
        with jobs.working():
            ids |= jobs.send_all()
            with staffed(rest, ids["running"]):
                yield Scene(running, jobs, ids)
        jobs.app.close()


class Watched:
    """A page on which nothing goes wrong unseen.

    Attributes:
        page: Playwright's.
        wrong: errors of scripts, violations of the content security policy, requests to other hosts.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.wrong: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("console", self._said)
        self.page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request: object) -> None:
        if not request.url.startswith(self.url):  # type: ignore[attr-defined]
            self.wrong.append(f"elsewhere: {request.url}")  # type: ignore[attr-defined]

    def go(self, place: str) -> Page:
        """Open a place of the console."""
        self.page.goto(f"{self.url}/console/#/{place}")
        return self.page

    def shoot(self, name: str) -> None:
        """Leave a picture for people, where they asked for it: PENSTOCK_SCREENSHOTS=1."""
        if not os.environ.get("PENSTOCK_SCREENSHOTS"):
            return
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


Open = Callable[..., Watched]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a page in a context of its own; in the end nothing may have gone wrong on it."""
    contexts: list[BrowserContext] = []
    opened: list[Watched] = []

    def opening(url: str, **options: object) -> Watched:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})  # type: ignore[arg-type]
        contexts.append(context)
        watched = Watched(context, url)
        opened.append(watched)
        return watched

    yield opening
    for context in contexts:
        context.close()
    assert [each.wrong for each in opened] == [[] for _ in opened]


@pytest.fixture(scope="module")
def showing(browser: Browser, scene: Scene) -> Iterator[Watched]:
    """A page on the scene that several tests share, each at a place of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    yield Watched(context, scene.url)
    context.close()


@pytest.fixture
def empty_server() -> Iterator[str]:
    with server(limits="relaxed") as running:
        yield running.url


@pytest.fixture
def seen(open_page: Open, scene: Scene) -> Watched:
    """A page on the scene."""
    return open_page(scene.url)


@pytest.fixture
def closed_server() -> Iterator[str]:
    with server(limits="relaxed", keys={"ops": "sesame"}) as running:
        yield running.url
