"""Sending from code that is not async: from threads, from other loops, after a fork, before the store is there."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import penstock.testing
from penstock import Penstock
from penstock.core.errors import InvalidRequest, PenstockError
from penstock.testing import run_until_idle

PATIENCE_SECONDS = 60


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    app = Penstock("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db")
    yield app
    app.close()


def test_many_threads_send_at_once(app: Penstock) -> None:
    @app.task
    def double(number: int) -> int:
        return 2 * number

    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(double.send, range(50)))
    run_until_idle(app)
    assert [job.result(0) for job in jobs] == [2 * number for number in range(50)]


def test_each_loop_may_send(app: Penstock) -> None:
    @app.task
    def double(number: int) -> int:
        return 2 * number

    async def send() -> str:
        return (await double.asend(4)).id

    ids = [asyncio.run(send()), asyncio.run(send())]
    run_until_idle(app)
    assert [app.job(job_id).result(0) for job_id in ids] == [8, 8]


def test_jobs_send_jobs_and_wait_for_them_without_standing_in_their_own_way(app: Penstock) -> None:
    @app.task
    def child(number: int) -> int:
        return number + 1

    @app.task
    def parent(number: int) -> str:
        return child.send(number).id

    job = parent.send(1)
    run_until_idle(app)
    assert app.job(job.result(0)).result(0) == 2


async def test_waiting_on_the_loop_that_would_do_the_work_is_refused() -> None:
    app = Penstock("memory://")

    @app.task
    def run() -> None: ...

    async with penstock.testing.app_under_test(app):
        with pytest.raises(InvalidRequest, match="wait for itself") as refused:
            run.send()
        assert "asend" in (refused.value.problem.hint or "")


def test_nothing_is_opened_before_it_is_needed_and_all_is_let_go(tmp_path: Path) -> None:
    before = set(threading.enumerate())  # other tests may have apps that are open

    def portals() -> list[str]:
        return [each.name for each in set(threading.enumerate()) - before if each.name == "penstock-portal"]

    app = Penstock(f"sqlite:///{tmp_path}/jobs.db")

    @app.task
    def run() -> None: ...

    assert not (tmp_path / "jobs.db").exists()
    assert not portals()
    first = run.send()
    assert portals()
    app.close()
    assert not portals()
    assert first.status() == "waiting", "it may be used again"
    app.close()


def test_a_server_that_is_not_there_yet_is_told_and_found_when_it_is() -> None:
    with penstock.testing.server() as server:
        url = server.url
    app = Penstock(url)

    @app.task
    def run() -> None: ...

    try:
        with pytest.raises(PenstockError, match=url.removeprefix("http://").partition(":")[0]):
            run.send()
        with penstock.testing.server(port=int(url.rpartition(":")[2])):
            assert run.send().status() == "waiting"
            app.close()
    finally:
        app.close()


def test_a_forked_child_sends_on_its_own_and_the_parent_goes_on(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import os
        from penstock import Penstock
        from penstock.testing import run_until_idle

        app = Penstock("sqlite:///{tmp_path}/jobs.db")
        ran = []

        @app.task(name="run")
        def run(who: str) -> None:
            ran.append(who)

        run.send("before")
        child = os.fork()
        if child == 0:
            run.send("child")
            app.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        run.send("after")
        run_until_idle(app)
        app.close()
        print(sorted(ran))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['after', 'before', 'child']"
