"""What the pages are looked at with: queues in all conditions, and jobs that a real worker runs."""

import asyncio
import base64
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.app import Penstock
from penstock.connect import open_broker
from penstock.worker import Backoff, Fail, RetryPolicy, current_job
from penstock.worker.engine.options import QueueShare, WorkerOptions
from penstock.worker.engine.worker import Worker
from tests.browser.calling import Rest

PATIENCE_SECONDS = 20
log = logging.getLogger("shop")
BEAT_SECONDS = 1.5


class Jobs:
    """Jobs of a shop, and a worker that runs them in a thread of this process."""

    def __init__(self, url: str) -> None:
        self.app = app = Penstock(url)
        self.released = threading.Event()
        log.setLevel(logging.INFO)
        self.url = url

        @app.task(name="charge_card")
        async def charge_card(order: int, amount: float) -> dict[str, object]:
            return {"order": order, "amount": amount, "authorised": True}

        @app.task(name="send_invoice", retry=RetryPolicy(max_attempts=1))
        async def send_invoice(order: int) -> None:
            raise ConnectionError(f"mail server refused order {order}")

        @app.task(name="sync_stock", retry=RetryPolicy(backoff=Backoff(first_seconds=300)))
        async def sync_stock(warehouse: str) -> None:
            raise TimeoutError(f"{warehouse} does not answer")

        @app.task(name="render_catalogue")
        def render_catalogue(pages: int) -> int:
            current_job().progress(37, pages, "laying out")
            log.info("fonts are loaded")
            log.warning("page 12 has no picture")
            self.released.wait()
            return pages

        @app.task(name="pack")
        async def pack(order: int) -> str:
            return f"box {order}"

        @app.task(name="weigh")
        async def weigh(box: str) -> float:
            return 1.25

        @app.task(name="ship", retry=RetryPolicy(max_attempts=1))
        async def ship(boxes: list[object]) -> None:
            raise Fail("no courier today")

        self.charge_card, self.send_invoice, self.sync_stock = charge_card, send_invoice, sync_stock
        self.render_catalogue, self.pack, self.weigh, self.ship = render_catalogue, pack, weigh, ship

    @contextmanager
    def working(self) -> Iterator[None]:
        """Run a worker."""
        started = threading.Event()

        async def work() -> None:
            broker = await open_broker(self.url)
            self._loop = asyncio.get_running_loop()
            try:
                shares = (QueueShare("default"),)
                self._worker = Worker(
                    self.app,
                    broker,
                    WorkerOptions(queues=shares, slots=4, drain_seconds=0.1, job_log_level=logging.INFO),
                )
                started.set()
                await self._worker.run()
            finally:
                await broker.aclose()

        thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
        thread.start()
        assert started.wait(PATIENCE_SECONDS)
        try:
            yield
        finally:
            self.released.set()
            self._loop.call_soon_threadsafe(self._worker.drain)
            thread.join(PATIENCE_SECONDS)

    def send_all(self) -> dict[str, str]:
        """Send jobs of every kind and wait until each is where it will be; return their ids."""
        app = self.app
        ids = {"succeeded": self.charge_card.send(12, 49.9).id}
        ids |= {"failed": [self.send_invoice.send(order) for order in range(6)][-1].id}
        ids["retrying"] = self.sync_stock.send("Rotterdam").id
        ids["running"] = self.render_catalogue.send(120).id
        ids["delayed"] = self.charge_card.with_options(delay_seconds=3600).send(13, 5).id
        flow = app.workflow()
        boxes = [flow.add(self.pack, order, name=f"pack {order}") for order in range(4)]
        weights = [flow.add(self.weigh, box, name=f"weigh {place}") for place, box in enumerate(boxes)]
        flow.add(self.ship, weights, name="ship")
        ids["workflow"] = flow.send().id
        wanted = {"succeeded": "succeeded", "failed": "failed", "retrying": "retrying", "running": "running"}
        for name, status in wanted.items():
            until(lambda name=name, status=status: app.job(ids[name]).status() == status, f"{name} is {status}")
        until(lambda: app.workflow_run(ids["workflow"]).look().status == "failed", "the workflow has ended")
        until(lambda: (app.job(ids["running"]).look().record or None) is not None, "progress is told")
        return ids


def until(holds: object, what: str) -> None:
    """Wait until something holds that other threads bring about."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def fill(rest: Rest) -> dict[str, str]:
    """Make queues in all conditions; return ids of some messages."""
    rest.create("orders-dead", history="all")
    redrive = {"dead_letter_queue": "orders-dead", "max_receive_count": 1}
    rest.create("orders", history="all", redrive=redrive, visibility_timeout_seconds=60, tags={"team": "shop"})
    rest.create("emails", delay_seconds=0, group_max_in_flight=10)
    rest.create("payments", group_order="strict")
    rest.create("imports", is_paused=True)
    rest.create("audit.fifo", is_fifo=True, content_based_deduplication=True)
    orders = [
        {
            "body": json.dumps({"order": number, "lines": [{"sku": f"A-{number % 7}", "quantity": number % 3 + 1}]}),
            "attributes": {"source": {"string_value": "web" if number % 2 else "app"}},
            "group_id": f"customer-{number % 5}",
        }
        for number in range(40)
    ]
    ids = rest.send("orders", *orders)
    for each in rest.receive("orders", 3):
        rest("PATCH", f"/v1/queues/orders/deliveries/{each['receipt_handle']}", {"visibility_timeout_seconds": 0})
    rest.receive("orders", 9)  # the first three are dead letters now
    rest.send("orders", *({"body": f"later {number}", "delay_seconds": 900} for number in range(4)))
    rest.send("emails", *(f"To: customer {number}\nSubject: your order\n\nIt is on its way." for number in range(25)))
    rest.send("payments", *({"body": f"payment {n}", "group_id": f"account-{n % 3}"} for n in range(12)))
    rest.receive("payments", 1)
    rest("PATCH", "/v1/queues/payments/groups/account-1", {"is_parked": True})
    rest.send("imports", *(f'{{"row": {number}}}' for number in range(7)))
    rest.send("audit.fifo", *({"body": f"entry {n}", "group_id": "ledger"} for n in range(3)))
    return {"order": ids[20], "held": ids[3], "dead": ids[0]}


def put_record(rest: Rest, key: str, value: object) -> None:
    """Keep a record, as workers do."""
    encoded = base64.b64encode(json.dumps(value).encode()).decode()
    rest("POST", "/v1/records", {"records": [{"key": key, "value": encoded}]})


@contextmanager
def staffed(rest: Rest, running: str) -> Iterator[None]:
    """Have workers that beat, and schedules, written down as they do it themselves. The real worker buries whoever does
    not beat."""
    is_over = threading.Event()
    staff(rest, running, 0)

    def beat() -> None:
        number = 0
        while not is_over.wait(BEAT_SECONDS):
            number += 1
            hire(rest, running, number)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(PATIENCE_SECONDS)


def hire(rest: Rest, running: str, beat: int) -> None:
    """Write down workers."""
    now = int(time.time() * 1000)
    for number, is_draining in ((1, False), (2, False), (3, True)):
        jobs = [{"job_id": running, "task": "render_catalogue", "started_at": now - 42_000}] if number == 1 else []
        if jobs:
            jobs[0]["progress"] = {"done": 37, "total": 120}  # type: ignore[assignment]
        worker = {
            "owner": f"shop-{number}@host-{'ab'[number % 2]}",
            "machine": f"host-{'ab'[number % 2]}",
            "pid": 4100 + number,
            "started_at": now - number * 3_600_000,
            "queues": ["default", "emails"],
            "slots": 8,
            "beat": beat,
            "is_draining": is_draining,
            "held_count": len(jobs) + 1,
            "jobs": jobs,
        }
        put_record(rest, f"worker/{worker['owner']}", worker)


def staff(rest: Rest, running: str, beat: int = 0) -> None:
    """Write down workers and schedules."""
    hire(rest, running, beat)
    now = int(time.time() * 1000)
    rules = {
        "nightly-report": {"task": "charge_card", "args": {"order": 1, "amount": 2.5}, "cron": "0 3 * * *"},
        "poll-stock": {"task": "sync_stock", "args": {"warehouse": "Rotterdam"}, "every_seconds": 30},
    }
    for name, rule in rules.items():
        schedule = {
            "name": name,
            "rule": rule,
            "next_at": now + 25_000,
            "since": now - 5_000,
            "checked_at": now,
            "last_at": now - 5000,
            "last_job_id": running,
        }
        put_record(rest, f"schedule/{name}", schedule)
