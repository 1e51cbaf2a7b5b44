"""The bytes of HTTP at random: changed, cut, mixed and in any pieces. The server is unharmed and goes on answering."""

import asyncio
import contextlib
import re
from collections.abc import Iterator

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.answering import Listening, listening
from tests.server.raw import raw, request

PIECES = (
    request("GET", "/a?b=c"),
    request("HEAD", "/a"),
    request("POST", "/a", body=b"hello"),
    request("POST", "/a", ("content-type: text/plain", "x-empty:"), b"x" * 3000),
    request("POST", "/a", ("expect: 100-continue",), b"hello"),
    request("GET", "/a", ("connection: close",)),
    request("GET", "/a", ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAM")),
    request("POST", "/a", ("connection: upgrade", "upgrade: websocket"), b"hello"),
    b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx-trailer: y\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 6000\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """What a client sends, and where it is cut into packets."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from((b"", b"\0", b"\r\n", b"\n", b":", b" ", b"-1", b"9" * 20, b"\xff", b"chunked")))
        data[at : at + draw(st.integers(0, 4))] = change
    return bytes(data), sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[asyncio.Runner, Listening]]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        around = listening(max_body_bytes=5000, read_seconds=1)
        yield runner, runner.run(around.__aenter__())
        runner.run(around.__aexit__(None, None, None))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversation=conversations(), leaves=st.sampled_from(("reads", "half-closes", "aborts")))
def test_whatever_comes_the_server_is_unharmed(
    serving: tuple[asyncio.Runner, Listening],
    caplog: pytest.LogCaptureFixture,
    conversation: tuple[bytes, list[int]],
    leaves: str,
) -> None:
    runner, server = serving
    runner.run(_talk(server, *conversation, leaves))
    assert not caplog.records, caplog.text


async def _talk(server: Listening, data: bytes, cuts: list[int], leaves: str) -> None:
    with contextlib.suppress(OSError):
        async with raw(server.url) as connection:
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                await connection.send(data[start:end])
                await asyncio.sleep(0)
            if leaves == "aborts":
                connection.abort()
            else:
                # ends a body that is awaited, so that nobody waits for a deadline
                await connection.send(b"\0" * 6000 + b"\r\n\r\n")
                if leaves == "half-closes":
                    connection.send_no_more()
                said = await connection.rest()
                assert {int(status) for status in _STATUS.findall(said)} <= {100, 200, 400, 413, 431}, said
    async with raw(server.url) as connection:
        assert (await connection.get("/still-there")).body == b"GET /still-there 0"
