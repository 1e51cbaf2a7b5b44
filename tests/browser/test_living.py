"""Queues while messages come and go, and jobs while they run: what is shown moves.

The pictures of the documents are taken here: PENSTOCK_SCREENSHOTS=1 lets the queues live for a while before."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import sin
from pathlib import Path

from playwright.sync_api import Page, expect

from penstock.testing import server
from penstock.worker import Fail, RetryPolicy
from tests.browser.calling import Rest
from tests.browser.conftest import Open
from tests.browser.scene import PATIENCE_SECONDS, Jobs, fill, until

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
TICK_SECONDS = 0.1
LIVES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "orders": (lambda t: 42 + 16 * sin(t / 5), lambda t: 41 + 9 * sin(t / 5 - 1.1)),
    "emails": (lambda t: 18 + 12 * sin(t / 9), lambda t: 23 + 6 * sin(t / 3)),
    "payments": (lambda t: 9 + 3 * sin(t / 4), lambda t: 9 + 3 * sin(t / 4 - 0.4)),
    "thumbnails": (lambda t: 31 + 20 * sin(t / 6), lambda t: 24),
}
"""Of each queue, how many messages a second are sent and done."""


@contextmanager
def living(rest: Rest) -> Iterator[None]:
    """Let messages come and go."""
    is_over = threading.Event()

    def live(queue: str, sent_rate: Callable[[float], float], done_rate: Callable[[float], float]) -> None:
        began, sent, done = time.monotonic(), 0.0, 0.0
        while not is_over.wait(TICK_SECONDS):
            now = time.monotonic() - began
            sent, done = sent + sent_rate(now) * TICK_SECONDS, done + done_rate(now) * TICK_SECONDS
            if sent >= 1:
                group = f"customer-{int(now * 9) % 40}"
                bodies = [f'{{"{queue[:-1]}": {int(now * 1000) + n}, "total": 19.50}}' for n in range(int(sent))]
                rest.send(queue, *({"body": body, "group_id": group} for body in bodies))
                sent %= 1
            if done >= 1:
                for each in rest.receive(queue, int(done)):
                    rest("DELETE", f"/v1/queues/{queue}/deliveries/{each['receipt_handle']}")
                done %= 1

    threads = [threading.Thread(target=live, args=(queue, *rates), daemon=True) for queue, rates in LIVES.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)


def shoot(page: Page, name: str) -> None:
    """Take a picture for the documents, where somebody asked for it."""
    if os.environ.get("PENSTOCK_SCREENSHOTS"):
        height = page.evaluate(
            "Math.min(innerHeight, document.querySelector('main .view').getBoundingClientRect().bottom + 28)"
        )
        page.screenshot(path=PICTURES / f"{name}.png", clip={"x": 0, "y": 0, "width": 1280, "height": height})


def test_rates_and_charts_of_a_living_queue_move(open_page: Open) -> None:
    with server(limits="relaxed") as running:
        rest = Rest(running.url)
        fill(rest)
        rest.create("thumbnails")
        rest("PATCH", "/v1/queues/payments", {"settings": {"max_in_flight": None}})
        rest.send("emails", *("waiting" for _ in range(400)))
        watched = open_page(running.url).go("")
        page = open_page(running.url).go("queue/orders")
        with living(rest):
            if os.environ.get("PENSTOCK_SCREENSHOTS"):
                time.sleep(100)
            for label in ("sent / s", "done / s"):
                expect(page.locator(".tile").filter(has_text=label)).not_to_contain_text("0" + label)
                expect(watched.locator(".tile").filter(has_text=label)).not_to_contain_text("0" + label)
            line = page.locator(".plot polyline").first
            drawn = line.get_attribute("points")
            expect(line).not_to_have_attribute("points", drawn or "")
            expect(watched.locator(".spark").first).to_be_visible()
            page.get_by_role("button", name="Refresh").click()
            page.mouse.move(0, 0)
            shoot(page, "queue")
            shoot(watched, "queues")


def test_a_workflow_is_drawn_while_it_runs_and_its_failures_have_causes(open_page: Open) -> None:
    with server(limits="relaxed") as running:
        jobs = Jobs(running.url)
        once = RetryPolicy(max_attempts=1)

        @jobs.app.task(name="book_courier", retry=once)
        async def book_courier(order: int) -> None:
            raise TimeoutError("courier.example did not answer within 5 s")

        @jobs.app.task(name="reserve_stock", retry=once)
        async def reserve_stock(order: int) -> None:
            raise Fail(f"order {order}: A-17 is sold out")

        with jobs.working():
            for order in range(23):
                book_courier.send(order)
            for order in range(9):
                reserve_stock.send(order)
            for order in range(4):
                jobs.send_invoice.send(order)
            flow = jobs.app.workflow()
            boxes = [flow.add(jobs.pack, order, name=f"pack {order}") for order in range(4)]
            weights = [flow.add(jobs.weigh, box, name=f"weigh {place}") for place, box in enumerate(boxes)]
            pages = flow.add(jobs.render_catalogue, 120, name="render labels")
            flow.add(jobs.ship, [*weights, pages], name="ship")
            run = flow.send()
            until(lambda: run.look().counts.get("succeeded") == 8, "all but two are done")
            page = open_page(running.url).go(f"workflow/{run.id}")
            expect(page.locator(".flow .s-succeeded")).to_have_count(8)
            expect(page.locator(".flow .s-running")).to_contain_text("31 %")
            expect(page.locator(".flow .s-blocked")).to_contain_text("ship")
            shoot(page, "workflow")
            page = open_page(running.url).go("dead/default-dead")
            expect(page.locator("main")).to_contain_text("36 dead letters by cause")
            expect(page.locator("tbody tr")).to_have_count(3)
            page.get_by_role("checkbox").first.check()
            expect(page.get_by_role("button", name="Redrive 23 messages…")).to_be_visible()
            shoot(page, "dead-letters")
        jobs.app.close()
