"""The commands about jobs: on a store directly and through a server, with the code of an app and without."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.app import Penstock
from penstock.cli.statuses import NOT_FOUND
from penstock.connect import open_broker
from penstock.core.effects import Record
from penstock.core.operations import PutRecords
from penstock.testing.jobs import AppUnderTest
from penstock.worker.loading import load_app
from penstock.worker.presence import WorkerRecord, encode_worker, worker_key
from tests.cli.test_commands import Terminal, _made, _served

APP = """
import sqlite3
from penstock import Fail, Penstock

app = Penstock("{url}")

@app.task(name="add")
def add(x: int, y: int = 1) -> int:
    return x + y

@app.task(name="break", max_attempts=1)
def breaks(mark: str = "") -> None:
    raise ValueError("as always " + mark)

app.schedule("often", add, every_seconds=60, args=(1, 2))
app.relay(lambda: sqlite3.connect("shop.db"))
"""

MODULE = "shop_of_the_test"
NOBODY = "00000000-0000-7000-8000-0000000000ff"


class Shop:
    """An app in a module of its own, on the store that the commands speak to."""

    def __init__(self, terminal: Terminal, url: str) -> None:
        self.terminal = terminal
        self.url = url
        Path(f"{MODULE}.py").write_text(APP.format(url=url))

    def work(self) -> None:
        """Run what is ready, as a worker does."""
        app = load_app(MODULE)
        assert isinstance(app, Penstock)
        asyncio.run(self._work(app))

    async def _work(self, app: Penstock) -> None:
        broker = await open_broker(self.url)
        app.portal.attach(broker)
        try:
            await AppUnderTest(app, broker, app.clock).run_until_idle()  # type: ignore[arg-type]
        finally:
            app.portal.detach()
            await broker.aclose()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for variable in ("PENSTOCK_URL", "PENSTOCK_KEY", "PENSTOCK_APP"):
        monkeypatch.delenv(variable, raising=False)
    yield
    sys.modules.pop(MODULE, None)


@pytest.fixture(params=["store", "server", "app"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    store = f"sqlite:////{tmp_path}/penstock.db"
    asyncio.run(_made(store))
    if request.param == "server":
        with _served(store) as url:
            yield Shop(Terminal("--url", url, "--key", "AKIDTEST:a secret of some length"), store)
    else:
        yield Shop(Terminal("--store", store) if request.param == "store" else Terminal("--app", MODULE), store)


def test_a_job_is_sent_run_listed_and_shown(shop: Shop) -> None:
    terminal = shop.terminal
    assert terminal("job", "list") == "There is no job.\n"
    job_id = terminal.json("job", "send", "add", '{"x": 2, "y": 3}')["job_id"]
    assert re.search(rf"{job_id} +waiting +add +default", terminal("job", "list"))
    shop.work()
    (listed,) = terminal.json("job", "list", "--status", "succeeded")
    assert (listed["job_id"], listed["task"], listed["attempts"]) == (job_id, "add", 1)
    assert terminal("job", "list", "--status", "failed") == "There is no such job.\n"
    shown = terminal("job", "show", job_id)
    assert re.search(r"result +5", shown)
    assert terminal.json("job", "show", job_id)["result"] == 5
    assert terminal.json("monitor", job_id)["status"] == "succeeded"
    assert re.fullmatch(rf"\[\d\d:\d\d:\d\d\] job {job_id} \(add\) succeeded [\d.]+ s\n", terminal("monitor", job_id))


def test_a_failed_job_is_explained_and_retried(shop: Shop) -> None:
    terminal = shop.terminal
    assert terminal("dlq", "list") == "There is no dead letter.\n"
    one = terminal("job", "send", "break", '{"mark": "one"}').strip()
    other = terminal("job", "send", "break").strip()
    shop.work()
    assert "ValueError: as always one" in terminal("job", "show", one)
    assert "in breaks" in terminal("job", "show", one)
    assert terminal.json("dlq", "list") == [{"queue": "default", "dead": 2}]
    (cause,) = terminal.json("dlq", "show", "default")
    assert (cause["kind"], cause["count"]) == ("ValueError", 2)
    assert f"{MODULE}.py:breaks" in terminal("dlq", "show", "default")
    assert one in terminal("dlq", "show", "default", "--cause", cause["cause"])
    assert terminal("job", "retry", one) == f"{one} is back in its queue\n"
    assert terminal.json("job", "show", one)["status"] == "waiting"
    assert terminal.run("job", "retry", one).exit_code == 1
    shop.work()
    assert terminal("dlq", "retry", "default", "--task", "break", "--rate", "100") == "2 jobs are back in default.\n"
    shop.work()
    assert terminal.json("dlq", "delete", "default", one, "--yes") == {"deleted": 1}
    assert terminal.json("dlq", "retry", "default", "--all") == {"retried": 1}
    shop.work()
    assert [each["job_id"] for each in terminal.json("dlq", "show", "default", "--task", "break")] == [other]
    failed = terminal.run("monitor", other)
    assert (failed.exit_code, "failed ValueError: as always" in failed.stdout) == (1, True)


def test_a_waiting_job_is_called_off(shop: Shop) -> None:
    terminal = shop.terminal
    job_id = terminal("job", "send", "add", '{"x": 2}', "--delay", "100").strip()
    assert terminal.json("job", "list", "--status", "delayed")[0]["job_id"] == job_id
    assert terminal.json("job", "cancel", job_id) == {job_id: True}
    assert terminal.json("job", "show", job_id)["status"] == "cancelled"


def test_schedules_are_listed_paused_resumed_triggered_and_removed(shop: Shop) -> None:
    terminal = shop.terminal
    assert terminal("schedule", "list") == "There is no schedule.\n"
    shop.work()
    assert re.search(r"often +every 60 s +add +\d{4}-", terminal("schedule", "list"))
    (schedule,) = terminal.json("schedule", "list", "--next", "3")
    assert [at - schedule["next_at"] for at in schedule["upcoming"]] == [0, 60_000, 120_000]
    assert terminal("schedule", "pause", "often") == "often is paused.\n"
    assert terminal.json("schedule", "list")[0]["is_paused"]
    assert terminal("schedule", "resume", "often").startswith("often goes on at ")
    job_id = terminal.json("schedule", "trigger", "often")["job_id"]
    shop.work()
    assert terminal.json("job", "show", job_id)["result"] == 3
    assert terminal.json("schedule", "remove", "often") == {"removed": "often"}
    assert "There is no schedule 'often'" in terminal.fails("schedule", "pause", "often", status=NOT_FOUND)


def test_workers_are_listed(shop: Shop) -> None:
    assert shop.terminal("worker", "list") == "There is no worker.\n"
    assert shop.terminal.json("worker", "list") == []


async def _keep(url: str, worker: WorkerRecord) -> None:
    broker = await open_broker(url)
    await broker.perform(PutRecords((Record(worker_key(worker.owner), encode_worker(worker)),)))
    await broker.aclose()


def test_a_worker_is_told_to_drain(shop: Shop) -> None:
    assert "There is no worker nobody" in shop.terminal.fails("worker", "drain", "nobody", status=NOT_FOUND)
    asyncio.run(_keep(shop.url, WorkerRecord("w-1", "here", 1, 1, ("default",), 1, 1)))
    assert shop.terminal("worker", "drain", "w-1") == "w-1 is told to drain.\n"
    assert shop.terminal.json("worker", "drain", "w-1") == {"worker": "w-1", "is_draining": True}


def test_with_its_code_arguments_are_checked(shop: Shop) -> None:
    terminal = Terminal("--app", MODULE)
    assert "Argument x of add" in terminal.fails("job", "send", "add", '{"x": "two"}')
    assert "There is no task 'sub'" in terminal.fails("job", "send", "sub")
    assert terminal("job", "send", "add", "[1, 2]")
    without = Terminal("--store", shop.url)
    assert "Say --app" in without.fails("job", "send", "add", "[1, 2]")


def test_an_outbox_is_relayed(shop: Shop) -> None:
    import sqlite3

    terminal = Terminal()
    statement = terminal("relay", "--sql", "sqlite")
    connection = sqlite3.connect("shop.db")
    connection.execute(statement)
    app = load_app(MODULE)
    job = app.tasks["add"].send_in(connection, 4, 5)
    connection.commit()
    terminal("relay", MODULE, "--once")
    assert connection.execute("SELECT count(*) FROM penstock_outbox").fetchone() == (0,)
    connection.close()
    shop.work()
    assert Terminal("--app", MODULE).json("job", "show", job.id)["result"] == 9


def test_wrong_use_is_told_in_a_line(shop: Shop) -> None:
    terminal = shop.terminal
    for arguments in (
        ("job", "list", "--status", "sleeping"),
        ("job", "send", "add", "no json"),
        ("job", "send", "add", "7"),
        ("dlq", "retry", "default"),
        ("dlq", "delete", "default", "--yes"),
        ("monitor", "--nonsense"),
    ):
        terminal.fails(*arguments, status=2)
    assert "There is no module" in Terminal("--app", "nowhere").fails("job", "list", status=2)
    assert "Nothing is known" in terminal.fails("job", "show", NOBODY, status=NOT_FOUND)
    assert terminal.fails("job", "list", "--queue", "nowhere", status=NOT_FOUND).count("\n") == 1


async def test_the_live_view_shows_queues_workers_running_jobs_and_ends() -> None:
    from rich.console import Console

    from penstock.cli.monitor import screen
    from penstock.worker import Status
    from penstock.worker.following import Change
    from penstock.worker.overview import JobState, QueueState
    from penstock.worker.presence import RunningJob, WorkerRecord
    from penstock.worker.records import Failure, Progress

    now = 1_700_000_100_000
    job = JobState("018b-1", Status.RUNNING, "report", progress=Progress(3, 10, "of the rows"))
    ended = JobState("018b-2", Status.FAILED, "report", failure=Failure("ValueError", "odd"))
    running = RunningJob("018b-1", "report", now - 65_000)
    worker = WorkerRecord("box/7/x", "box", 7, now, ("default",), slots=4, beat=1, jobs=(running,))
    view = screen(
        [QueueState("default", 5, 1, 1, 2, now - 3000)], [worker], [job], [Change(ended, Status.RUNNING, now)], now
    )
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, ASYNC230
    console.print(view)
    text = console.export_text()
    console.file.close()
    for part in ("default", "box/7/x", "1 of 4", "1 min 5 s", "of the rows", "018b-2 (report) failed ValueError: odd"):
        assert part in text
    assert "━" in text, "a progress bar"


def test_json_is_one_value_a_line(shop: Shop) -> None:
    job_ids = [shop.terminal.json("job", "send", "add", '{"x": 2}')["job_id"] for _ in range(2)]
    shop.work()
    lines = shop.terminal("monitor", *job_ids, "--json").splitlines()
    assert [json.loads(line)["job_id"] for line in lines] == job_ids
