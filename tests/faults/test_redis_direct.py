"""Jobs sent to Redis from the calling thread itself: none lost, none doubled, whatever fails."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock import Penstock
from penstock.core.errors import StoreUnavailable
from penstock.core.operations import DescribeQueue
from penstock.core.queues import QueueDescription
from penstock.store import open_plain_store
from penstock.store.redis import blocking_connection
from penstock.worker.unique import Unique
from tests.faults.redis_at_work import StartServer, app_on, ids_waiting, now, waiting, without_a_portal
from tests.support.certificates import make_certificate
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.encryption import FIRST_KEY, environment
from tests.support.redis_server import free_port


@pytest.fixture
def url(start: StartServer) -> str:
    """A server with the queue made."""
    server_url = start().url
    app = app_on(server_url)
    app.tasks["noop"].send()
    app.close()
    return server_url


@pytest.fixture
def app(url: str) -> Iterator[Penstock]:
    app = app_on(url)
    yield app
    app.close()


@contextlib.asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Penstock, CuttingProxy]]:
    async with cutting_proxy(int(url.rpartition(":")[2])) as proxy:
        app = app_on(f"redis://127.0.0.1:{proxy.port}")
        try:
            yield app, proxy
        finally:
            await asyncio.to_thread(app.close)


def test_no_other_thread_wakes_for_what_is_sent(app: Penstock, url: str) -> None:
    before = ids_waiting(url)
    with without_a_portal():
        job = app.tasks["noop"].send(1)
        jobs = app.tasks["noop"].send_many([(2,), (3,)])
    assert ids_waiting(url) == sorted([*before, job.id, *(each.id for each in jobs)])


@pytest.mark.parametrize("option", ["functions=yes", "functions=no"])
def test_code_that_redis_has_lost_is_loaded_again(start: StartServer, option: str) -> None:
    server = start()
    app = app_on(f"{server.url}?{option}")
    sent = [app.tasks["noop"].send().id]
    for _ in range(3):
        server.ask("SCRIPT", "FLUSH")
        server.ask("FUNCTION", "FLUSH")
        sent.append(app.tasks["noop"].send().id)
    app.close()
    assert ids_waiting(server.url) == sorted(sent)


def test_it_speaks_tls_and_says_its_password(start: StartServer, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    port = free_port()
    files = {"tls_cert_file": certificate, "tls_key_file": key, "tls_ca_cert_file": certificate}
    start(requirepass="secret", tls_port=port, tls_auth_clients="no", **files)
    url = f"rediss://:secret@127.0.0.1:{port}/2?ca={certificate}"
    app = app_on(url)
    app.tasks["noop"].send()
    app.close()
    app = app_on(url)
    with without_a_portal():
        jobs = [app.tasks["noop"].send() for _ in range(3)]
    app.close()
    assert {each.id for each in jobs} <= set(ids_waiting(url))
    for refused in (url.partition("?")[0], url.replace("secret", "wrong")):
        app = app_on(refused)
        with pytest.raises(StoreUnavailable):
            app.tasks["noop"].send()
        app.close()


async def test_a_send_whose_answer_is_lost_happens_once(url: str) -> None:
    before = len(await waiting(url))
    async with proxied(url) as (app, proxy):
        send = app.tasks["noop"].send
        await asyncio.to_thread(send)
        proxy.cut_next_answer()
        job = await asyncio.to_thread(send)
        after = await asyncio.to_thread(send)
    assert proxy.cuts == 1
    found = [each.message_id for each in await waiting(url)]
    assert len(found) == len(set(found)) == before + 3
    assert {job.id, after.id} <= set(found)


@pytest.mark.timeout(60)
def test_what_was_sent_survives_the_sudden_death_of_redis(start: StartServer) -> None:
    server = start(appendonly="yes", appendfsync="always")
    app = app_on(server.url)
    send = app.tasks["noop"].send
    sent = [send().id]
    is_over = threading.Event()

    def produce() -> None:
        while not is_over.is_set():
            sent.append(send().id)

    with ThreadPoolExecutor(2) as threads:
        producing = [threads.submit(produce) for _ in range(2)]
        for _ in range(4):
            before = len(sent)
            while len(sent) < before + 50:
                assert not any(each.done() for each in producing)
            server.kill()
            server.start()
        is_over.set()
        for each in producing:
            each.result()
    app.close()
    found = ids_waiting(server.url)
    assert len(found) == len(set(found))
    assert set(sent) <= set(found), "lost"
    assert len(found) == len(sent), "a job was sent that nobody was told of"


def test_a_server_that_stays_away_is_an_error_that_says_so(start: StartServer) -> None:
    server = start()
    app = app_on(f"{server.url}?patience_seconds=0.2")
    app.tasks["noop"].send()
    app.tasks["noop"].send()
    server.kill()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        app.tasks["noop"].send()
    server.start()
    assert app.tasks["noop"].send().id
    app.close()


def test_a_server_that_no_longer_answers_is_left(start: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking_connection, "ANSWER_SECONDS", 0.2)
    server = start()
    app = app_on(server.url)
    sent = [app.tasks["noop"].send().id, app.tasks["noop"].send().id]
    server.pause()
    resuming = threading.Timer(0.5, server.resume)
    resuming.start()
    sent.append(app.tasks["noop"].send().id)
    resuming.join()
    app.close()
    assert ids_waiting(server.url) == sorted(sent), "once, though by now what was sent before has been read too"


@pytest.mark.timeout(10)
def test_a_server_that_never_was_there_is_told_at_once() -> None:
    app = app_on(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        app.tasks["noop"].send()
    app.close()


def test_a_send_that_is_interrupted_leaves_no_answer_for_the_next(url: str) -> None:
    class Interrupted(BaseException):
        pass

    is_sending = False

    def interrupt(*_: object) -> None:
        nonlocal is_sending
        if is_sending:
            is_sending = False
            raise Interrupted

    def interrupt_often() -> None:
        while not is_over.wait(0.0005):
            os.kill(os.getpid(), signal.SIGUSR1)

    def send_on() -> None:
        nonlocal is_sending
        is_sending = True
        while True:
            sent.append(send().id)

    app = app_on(url)
    send = app.tasks["noop"].send
    sent = [send().id]
    before = signal.signal(signal.SIGUSR1, interrupt)
    is_over = threading.Event()
    interrupting = threading.Thread(target=interrupt_often)
    interrupting.start()
    try:
        for _ in range(20):
            with pytest.raises(Interrupted):
                send_on()
            sent.append(send().id)
    finally:
        is_over.set()
        interrupting.join()
        signal.signal(signal.SIGUSR1, before)
    app.close()
    found = ids_waiting(url)
    assert len(found) == len(set(found))
    assert set(sent) <= set(found)


def test_many_threads_send_at_once(app: Penstock, url: str) -> None:
    before = ids_waiting(url)
    with ThreadPoolExecutor(8) as threads:
        jobs = list(threads.map(lambda number: app.tasks["noop"].send(number).id, range(400)))
    assert ids_waiting(url) == sorted([*before, *jobs])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_a_fork_has_a_connection_of_its_own(app: Penstock, url: str) -> None:
    before = ids_waiting(url)
    sent = [app.tasks["noop"].send().id]
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            app.tasks["noop"].send_many([()] * 50)
            for _ in range(50):
                app.tasks["noop"].send()
            os._exit(0)
        os._exit(1)
    sent += [app.tasks["noop"].send().id for _ in range(100)]
    assert os.waitpid(child, 0)[1] == 0
    found = ids_waiting(url)
    assert set(sent) <= set(found)
    assert len(set(found)) == len(found) == len(before) + 201


def test_queues_of_partitions_are_sent_to_as_such(url: str) -> None:
    maker = app_on(url)
    maker.queue("wide", partitions=3)
    maker.tasks["noop"].with_options(queue="wide").send()
    maker.close()
    app = app_on(url)  # which does not say that the queue has partitions
    jobs = [app.tasks["noop"].with_options(queue="wide").send(number) for number in range(20)]
    described: QueueDescription = app.portal.run(lambda broker: broker.perform(DescribeQueue("wide"))).queue
    app.close()
    assert described.settings.partitions == 3
    assert described.counts.ready == 21
    assert {each.id for each in jobs} <= set(ids_waiting(url, "wide"))


def test_a_unique_job_is_sent_once(url: str) -> None:
    app = app_on(url)

    @app.task(name="once", unique=Unique())
    async def once() -> None: ...

    with without_a_portal():
        first, second = once.send(), once.send()
    app.close()
    assert first.id == second.id


async def test_content_is_sealed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(FIRST_KEY).items():
        monkeypatch.setenv(name, value)
    app = app_on(url)
    with without_a_portal():
        job = await asyncio.to_thread(app.tasks["noop"].send, 123_456_789)
    app.close()
    store = await open_plain_store(url)
    (view,) = await store.find([job.id], now())
    await store.aclose()
    assert view is not None
    assert "123456789" not in view.body
    (opened,) = [each for each in await waiting(url) if each.message_id == job.id]
    assert "123456789" in opened.body
