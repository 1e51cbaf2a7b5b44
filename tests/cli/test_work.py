"""`penstock work` as a command: what it refuses, what it says, and how it is watched."""

import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from penstock.connect import open_broker
from penstock.core.operations import CreateQueue
from penstock.core.queues import QueueChanges
from penstock.worker import Status
from tests.support.work_process import COMMAND, PATIENCE_SECONDS, Shop

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path)
    try:
        yield shop
    finally:
        await shop.close()


def refused(directory: Path, *arguments: str) -> str:
    """Return what a worker says that cannot start."""
    done = subprocess.run(
        [*COMMAND, "work", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "Traceback (most recent" not in done.stderr
    return done.stderr


def test_an_app_that_cannot_be_had_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f():\n    return 1 / 0\n\nf()\n")
    (tmp_path / "needy.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "plain.py").write_text("from penstock import Penstock\nother = Penstock('memory://')\nnone = 1\n")
    assert "There is no module nowhere" in refused(tmp_path, "nowhere:app")
    said = refused(tmp_path, "broken:app")
    assert "ZeroDivisionError: division by zero" in said
    assert 'broken.py", line 2, in f' in said
    assert "No module named 'nothing_of_that_name'" in refused(tmp_path, "needy")
    said = refused(tmp_path, "plain:app")
    assert "has no 'app'" in said
    assert "plain:other" in said
    assert "no Penstock app but of type int" in refused(tmp_path, "plain:none")
    assert "There is no module nowhere" in refused(tmp_path, "nowhere:app", "--processes", "2")


def test_options_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    assert "high:6,default:3,low" in refused(tmp_path, "shop:app", "--queues", "a:0")
    assert "--log-format" in refused(tmp_path, "shop:app", "--log-format", "xml")
    assert "--slots" in refused(tmp_path, "shop:app", "--slots", "0")
    for text in ("orders", "orders=", "orders=x", "=1", "orders=64", "orders=3-1"):
        assert "orders=0,1,4-7" in refused(tmp_path, "shop:app", "--partitions", text)
    assert "from 'b'" in refused(tmp_path, "shop:app", "--queues", "a", "--partitions", "b=1")


async def test_a_burst_runs_what_is_there_and_ends(shop: Shop) -> None:
    jobs = await shop.task("quick").asend_many([(number,) for number in range(30)])
    for arguments in ((), ("--processes", "2")):
        worker = await shop.work("--burst", "--log-format", "json", *arguments, ready="")
        assert await worker.ended() == 0
    assert [await job.result(0) for job in jobs] == list(range(30))


async def test_a_worker_takes_only_jobs_of_the_partitions_it_is_told(shop: Shop) -> None:
    broker = await open_broker(shop.url)
    await broker.perform(CreateQueue("default", QueueChanges(partitions=4, partitioner="qugo:2", group_order="strict")))
    jobs = [await shop.task("quick").with_options(key=str(key)).asend(key) for key in range(8)]
    worker = await shop.work("--burst", "--partitions", "default=0,3", ready="")
    assert await worker.ended() == 0
    assert "default#0:1, default#3:1" in worker.text
    ended = [key for key, job in enumerate(jobs) if (await job.status()) is Status.SUCCEEDED]
    assert ended == [key for key in range(8) if key // 2 % 2 * 2 + key % 2 in (0, 3)]
    worker = await shop.work("--burst", ready="")
    assert await worker.ended() == 0
    assert [await job.result(0) for job in jobs] == list(range(8))
    await broker.aclose()


async def test_what_a_task_logs_names_its_job(shop: Shop) -> None:
    job = await shop.task("quick").asend()
    worker = await shop.work("--burst", ready="")
    assert await worker.ended() == 0
    (said,) = [record for record in worker.records() if record["logger"] == "shop"]
    assert (said["message"], said["job_id"], said["task"], said["attempt"]) == ("quick one", job.id, "shop.quick", 1)
    assert all("job_id" not in record for record in worker.records() if record["logger"] == "penstock.work")
    job = await shop.task("quick").asend()
    worker = await shop.work("--burst", "--log-format", "human", ready="")
    assert await worker.ended() == 0
    assert f"INFO    shop: quick one [shop.quick {job.id} #1]" in worker.text


async def test_a_worker_tells_whether_it_is_ready(shop: Shop) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # nobody listens there: no jobs can be fetched
    away = await shop.work("--health-port", str(port), "--url", "http://127.0.0.1:9", ready="the store is away")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as asking:
        assert (await asking.get("/health/live")).status_code == 200
        assert (await asking.get("/health/ready")).status_code == 503
        away.signal()
        assert await away.ended() == 0
        worker = await shop.work("--health-port", str(port))
        await shop.task("quick").asend()
        await shop.noted("quick")
        assert (await asking.get("/health/ready")).json() == {"status": "ready"}
        assert (await asking.get("/elsewhere")).status_code == 404
        assert (await asking.post("/health/live")).status_code == 405
        await shop.task("stubborn").asend()
        await shop.noted("stubborn")
        worker.signal()
        await worker.said("draining")
        assert (await asking.get("/health/ready")).status_code == 503


async def test_a_change_of_the_source_begins_anew(shop: Shop) -> None:
    worker = await shop.work("--reload")
    module = shop.module.read_text()
    shop.module.write_text(module + "\nnot python\n")
    await worker.said("waiting for a change")
    shop.module.write_text(module + "\n@app.task\ndef added() -> int:\n    return 7\n")
    await worker.said(" runs 6 tasks ")
    worker.signal()
    assert await worker.ended() == 0


def test_help_says_what_signals_do() -> None:
    done = subprocess.run([*COMMAND, "work", "--help"], capture_output=True, text=True, timeout=20, check=True)
    assert "A second one gives all back at once" in done.stdout
