"""One connection: order, deadlines, limits, and what happens when either side ends it."""

import asyncio
import gc
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from time import time

import pytest

from penstock.server import connections
from penstock.server.connections import MOST_READ_AHEAD_BYTES, Connection
from penstock.server.reading import Reader
from penstock.wire.http import Request, Response
from tests.server.answering import Held, listening, path, text
from tests.server.raw import raw, request
from tests.support.turns import until

UPGRADE = ("connection: Upgrade", "upgrade: websocket")
EXPECT = b"POST /expects HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
CHUNKED = b"POST /chunked HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("/a%20b?c=%20d", ("/a b", b"c=%20d", b"/a%20b")),
        ("http://elsewhere:80/a?b", ("/a", b"b", b"/a")),
        ("http://elsewhere", ("/", b"", b"/")),
        ("/a#b?c", ("/a", b"", b"/a")),
        ("/?", ("/", b"", b"/")),
        ("//a", ("//a", b"", b"//a")),
    ],
)
async def test_a_request_has_path_and_query_and_says_where_it_comes_from(
    target: str, seen: tuple[str, bytes, bytes]
) -> None:
    async with listening() as server, raw(server.url) as connection:
        assert (await connection.get(target, "X-Forwarded-Proto: https", "X-Twice: 1", "x-twice: 2")).status == 200
    asked = server.requests[0]
    assert (asked.path, asked.query, asked.raw_path) == seen
    assert (asked.source_ip, asked.scheme, asked.is_secure) == ("127.0.0.1", "http", False)
    assert asked.headers[b"x-twice"] == b"2"


async def test_every_request_has_an_id_of_its_own() -> None:
    async with listening() as server, raw(server.url) as connection:
        await connection.get("/")
        await connection.get("/")
    assert len({asked.request_id for asked in server.requests}) == 2


async def test_what_stands_behind_a_chunked_body_is_no_header() -> None:
    async with listening() as server, raw(server.url) as connection:
        await connection.send(CHUNKED + b"2\r\nhi\r\n0\r\nx-amz-target: AmazonSQS.PurgeQueue\r\n\r\n")
        assert (await connection.answer()).body == b"POST /chunked 2"
        assert (await connection.get("/next")).body == b"GET /next 0"
    assert b"x-amz-target" not in server.requests[0].headers


@pytest.mark.parametrize("endless", [b"1;" + b"x" * 1000, b"0\r\nx: " + b"y" * 1000], ids=["extension", "trailer"])
async def test_what_brings_no_byte_of_a_body_has_an_end(endless: bytes) -> None:
    async with listening() as server, raw(server.url) as connection:
        await connection.send(CHUNKED + endless)
        with_end = asyncio.create_task(connection.rest())
        for _ in range(200):
            if with_end.done():
                break
            await connection.send(b"z" * 1000)
        assert (await with_end).startswith(b"HTTP/1.1 431 ")
    assert server.requests == []


async def test_very_many_offers_of_another_protocol_are_all_declined() -> None:
    async with listening() as server, raw(server.url) as connection:
        connection.push(request("GET", "/offer", UPGRADE) * 2000 + request("GET", "/last", ("connection: close",)))
        assert (await connection.rest()).count(b"GET /offer 0") == 2000
    assert len(server.requests) == 2001


async def test_a_body_of_very_many_tiny_chunks_is_put_together() -> None:
    async with listening() as server, raw(server.url) as connection:
        await connection.send(CHUNKED + b"2\r\nab\r\n" * 100_000 + b"0\r\n\r\n")
        assert (await connection.answer()).body == b"POST /chunked 200000"
    assert server.requests[0].body == b"ab" * 100_000


# -- what is answered --------------------------------------------------------------------------------------------------


async def test_an_answer_tells_the_time_and_its_length_and_not_what_serves() -> None:
    async with listening() as server, raw(server.url) as connection:
        answer = await connection.get("/")
    assert set(answer.headers) == {"date", "content-type", "content-length"}
    assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time()) < 60


async def test_the_head_alone_tells_the_length_of_the_whole() -> None:
    async with listening() as server, raw(server.url) as connection:
        answer = await connection.get("/", method="HEAD")
        assert answer.headers["content-length"] == str(len("HEAD / 0"))
        assert (await connection.get("/next")).body == b"GET /next 0"


async def test_no_content_has_no_length() -> None:
    async def nothing(asked: Request) -> Response:
        return Response(204, (), b"")

    async with listening(nothing) as server, raw(server.url) as connection:
        assert "content-length" not in (await connection.get("/")).headers


@pytest.mark.parametrize(
    "head",
    [
        b"GET /a HTTP/1.0\r\n\r\n",
        b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        b"GET /a HTTP/1.1\r\nhost: x\r\nConnection: Close\r\n\r\n",
    ],
)
async def test_the_last_request_of_a_connection_is_answered_and_nothing_behind_it(head: bytes) -> None:
    async with listening() as server, raw(server.url) as connection:
        await connection.send(head + request("GET", "/b") + b"\0rubbish")
        answer = await connection.answer()
        assert (answer.body, answer.headers["connection"]) == (b"GET /a 0", "close")
        assert await connection.rest() == b""
    assert len(server.requests) == 1


async def test_an_answer_that_cannot_be_given_is_a_500_and_the_next_is_given(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(asked: Request) -> Response:
        if asked.path == "/injected":
            return Response(200, ((b"x-echo", b"a\r\nset-cookie: b"),), b"")
        raise RuntimeError("oh")

    async with listening(broken) as server, raw(server.url) as connection:
        for target in ("/raised", "/injected"):
            answer = await connection.get(target)
            assert (answer.status, set(answer.headers)) == (500, {"date", "content-type", "content-length"})
            assert b"oh" not in answer.body
    assert len(caplog.records) == 2


# -- order -------------------------------------------------------------------------------------------------------------


async def test_rubbish_behind_good_requests_is_refused_in_its_turn() -> None:
    held = Held()
    async with listening(held) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/a") + request("GET", "/b") + b"\0rubbish\r\n\r\n")
        await held.has_begun.wait()
        held.may_answer.set()
        answers = [await connection.answer() for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 400]
        assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]
        assert await connection.rest() == b""


async def test_a_body_too_large_is_refused_in_its_turn() -> None:
    held = Held()
    async with listening(held, max_body_bytes=100) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/a") + request("POST", "/b", body=b"x" * 101) + request("GET", "/c"))
        await held.has_begun.wait()
        held.may_answer.set()
        assert [(await connection.answer()).status for _ in range(2)] == [200, 413]
        assert await connection.rest() == b""


async def test_a_client_is_told_to_send_its_body_when_it_is_its_turn() -> None:
    held = Held()
    async with listening(held) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/a") + EXPECT % 2)
        await held.has_begun.wait()
        held.may_answer.set()
        assert (await connection.answer()).body == b"GET /a 0"
        assert (await connection.answer()).status == 100
        await connection.send(b"hi")
        assert (await connection.answer()).body == b"POST /expects 2"


async def test_a_client_that_sends_its_body_unasked_need_not_be_told() -> None:
    async with listening() as server, raw(server.url) as connection:
        await connection.send(EXPECT % 2 + b"hi")
        assert (await connection.answer()).body == b"POST /expects 2"


# -- neither read nor written without end ----------------------------------------------------------------------------


async def test_a_client_that_reads_no_answers_gets_no_more_of_them() -> None:
    async def large(asked: Request) -> Response:
        return text(asked.path.encode() * 200_000)

    count = 64
    async with listening(large) as server, raw(server.url) as connection:
        connection.push(b"".join(request("GET", f"/{number:04}") for number in range(count)))
        await until(lambda: any(each._is_writing_paused for each in server.listener.connections), "it waits")
        await until(lambda: not server.listener.tasks, "nothing is being answered")
        assert len(server.requests) < count
        for number in range(count):
            assert (await connection.answer()).body[:5] == f"/{number:04}".encode()


async def test_no_more_is_read_than_is_answered() -> None:
    held = Held()
    count = 200
    async with listening(held) as server, raw(server.url) as connection:
        connection.push(request("GET", "/first"))
        await held.has_begun.wait()
        connection.push(request("POST", "/next", body=b"x" * MOST_READ_AHEAD_BYTES) * count)
        await until(lambda: any(each._is_reading_paused for each in server.listener.connections), "it waits")
        assert connection.unsent_bytes
        held.may_answer.set()
        assert (await connection.answer()).body == b"GET /first 0"
        for _ in range(count):
            assert (await connection.answer()).body == f"POST /next {MOST_READ_AHEAD_BYTES}".encode()


async def test_time_in_which_nothing_is_read_does_not_count_against_a_request() -> None:
    held = Held()
    async with listening(held, read_seconds=0.2) as server, raw(server.url) as connection:
        connection.push(request("GET", "/first"))
        await held.has_begun.wait()
        body = b"x" * (MOST_READ_AHEAD_BYTES + 1)
        whole = request("POST", "/next", body=body)
        connection.push(whole[:-1])
        await until(lambda: any(each._is_reading_paused for each in server.listener.connections), "it waits")
        for each in server.listener.connections:
            each.close_if_overdue(server.listener.loop.time() + 1000)
        connection.push(whole[-1:])
        held.may_answer.set()
        assert (await connection.answer()).body == b"GET /first 0"
        assert (await connection.answer()).body == f"POST /next {len(body)}".encode()


async def test_a_client_that_sends_all_before_it_reads_gets_its_refusal() -> None:
    async with listening(max_body_bytes=1000) as server, raw(server.url) as connection:
        await connection.send(request("POST", "/", body=b"x" * (16 << 20)))
        assert (await connection.answer()).status == 413
        assert await connection.rest() == b""


@pytest.mark.parametrize(("limit", "value"), [("LINGER_SECONDS", 0), ("LINGER_BYTES", 100_000)])
async def test_what_is_refused_is_not_taken_for_ever(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, limit, value)
    async with listening(max_body_bytes=1000, read_seconds=0.2) as server, raw(server.url) as connection:
        await connection.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 1000)
        assert (await connection.answer()).status == 413
        if limit == "LINGER_BYTES":
            connection.push(b"x" * 200_000)
        await until(lambda: not server.listener.connections, "it is closed")


# -- deadlines ---------------------------------------------------------------------------------------------------------


async def test_half_a_request_behind_others_gets_408_in_its_turn() -> None:
    held = Held()
    async with listening(held, read_seconds=30) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/a") + b"GET /half HTTP/1.1\r\n")
        await held.has_begun.wait()
        for each in server.listener.connections:
            each.close_if_overdue(server.listener.loop.time() + 29)
            each.close_if_overdue(server.listener.loop.time() + 31)
        held.may_answer.set()
        assert [(await connection.answer()).status for _ in range(2)] == [200, 408]
        assert await connection.rest() == b""


async def test_a_request_under_way_is_not_idle_however_long_it_takes() -> None:
    held = Held()
    async with listening(held, idle_seconds=75) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/a"))
        await held.has_begun.wait()
        for each in server.listener.connections:
            each.close_if_overdue(server.listener.loop.time() + 1000)
        held.may_answer.set()
        assert (await connection.answer()).status == 200
        for each in server.listener.connections:
            each.close_if_overdue(server.listener.loop.time() + 74)
        assert (await connection.get("/b")).status == 200


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_a_client_that_sends_no_more_reads_what_was_answered() -> None:
    async def large(asked: Request) -> Response:
        return text(b"x" * (8 << 20))

    async with listening(large) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/"))
        await connection.line()
        connection.send_no_more()
        assert (await connection.rest()).endswith(b"\r\n\r\n" + b"x" * (8 << 20))


async def test_what_a_client_asked_before_it_went_is_done_and_what_stands_behind_it_is_not() -> None:
    held = Held()
    async with listening(held) as server:
        async with raw(server.url) as connection:
            await connection.send(request("POST", "/a") + request("POST", "/b"))
            await held.has_begun.wait()
        await until(lambda: not server.listener.connections, "it is gone")
        assert len(server.listener.tasks) == 1
        held.may_answer.set()
        await until(lambda: not server.listener.tasks, "it is done")
    assert [asked.path for asked in server.requests] == ["/a"]


async def test_a_body_on_its_way_is_awaited_when_the_server_stops_and_headers_are_not() -> None:
    async with listening() as server, raw(server.url) as connection, raw(server.url) as silent:
        whole = request("POST", "/a", body=b"hello")
        await connection.send(whole[:-3])
        await silent.send(whole[:10])
        await until(lambda: sum(each._reader.is_under_way for each in server.listener.connections) == 2, "they began")
        stopping = asyncio.create_task(server.listener.stop())
        assert await silent.rest() == b""
        await connection.send(whole[-3:] + whole)
        answer = await connection.answer()
        assert (answer.body, answer.headers["connection"]) == (b"POST /a 5", "close")
        assert await connection.rest() == b""
        await stopping
    assert len(server.requests) == 1


async def test_requests_that_have_arrived_are_answered_when_the_server_stops() -> None:
    held = Held()
    async with listening(held) as server, raw(server.url) as connection:
        await connection.send(request("GET", "/a") + request("GET", "/b"))
        await held.has_begun.wait()
        stopping = asyncio.create_task(server.listener.stop())
        await until(lambda: server.listener.is_draining, "it stops")
        held.may_answer.set()
        answers = [await connection.answer() for _ in range(2)]
        assert [answer.headers.get("connection") for answer in answers] == [None, "close"]
        await stopping


async def test_a_connection_leaves_nothing_for_the_garbage_collector() -> None:
    def alive() -> int:
        return sum(isinstance(each, (Connection, Reader)) for each in gc.get_objects())

    async def use(ask: Callable[[], bytes]) -> None:
        async with raw(server.url) as connection:
            await connection.send(ask())
            await connection.rest()

    async with listening() as server:
        gc.collect()
        gc.disable()
        try:
            before = alive()
            for ask in (
                lambda: request("GET", "/", ("connection: close",)),
                lambda: b"rubbish\r\n\r\n",
                lambda: request("GET", "/", UPGRADE) + request("GET", "/", ("connection: close",)),
            ):
                await use(ask)
            await until(lambda: not server.listener.connections and not server.listener.tasks, "all are closed")
            assert alive() == before
        finally:
            gc.enable()


async def test_nothing_is_asked_twice_or_left_out_however_the_bytes_are_cut() -> None:
    whole = request("POST", "/a", body=b"hello") + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n" + request("GET", "/c")
    async with listening(path) as server:
        for cut in range(1, len(whole)):
            async with raw(server.url) as connection:
                await connection.send(whole[:cut])
                await connection.send(whole[cut:])
                bodies = [(await connection.answer()).body for _ in range(3)]
                assert bodies == [b"POST /a 5", b"POST /chunked 5", b"GET /c 0"]
