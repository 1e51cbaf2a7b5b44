"""A disk without room: what cannot be kept is not acknowledged, what was acknowledged stays, room makes it work again.

The disk is a limit on the size of the files that the server process writes (RLIMIT_FSIZE; Python ignores its signal, so
that writing fails). The test makes room by raising the limit from outside.
"""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.consistency import check_consistency
from tests.faults.server_process import ServerProcess
from tests.faults.sqs_connection import Refused, SqsConnection, queue_url

pytestmark = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="needs limits that change while a process runs"
)

_ROOM_BYTES = 2 << 20
_FILLING = "x" * 20_000
_MOST_SENDS = 500
_URL = queue_url("orders")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """A server that may write files of 2 MiB, with a queue."""
    server = ServerProcess(
        f"sqlite:///{tmp_path / 'penstock.db'}",
        tmp_path / "server.log",
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM_BYTES, resource.RLIM_INFINITY)),
    )
    await server.start()
    connection = await SqsConnection.open(server.port)
    await connection.call("CreateQueue", QueueName="orders")
    await connection.aclose()
    yield server
    await server.kill()


async def test_a_full_disk_refuses_sends_and_loses_none_that_were_accepted(
    server: ServerProcess, tmp_path: Path
) -> None:
    accepted, refusals = await _send_until_refused(server.port, senders=4)
    assert accepted
    for refusal in refusals:
        assert (refusal.status, refusal.code) == (503, "ServiceUnavailable")
        assert "penstock.db" in str(refusal)
    _set_room(server)
    assert await _receive_all(server.port) == accepted
    assert await server.stop() == 0
    check_consistency(tmp_path / "penstock.db")
    assert "Traceback" not in server.log_text


async def test_a_server_on_a_full_disk_still_answers_what_needs_no_room(server: ServerProcess) -> None:
    accepted, _ = await _send_until_refused(server.port, senders=1)
    _set_room(server, 4096)
    connection = await SqsConnection.open(server.port)
    told = await connection.call("GetQueueAttributes", QueueUrl=_URL, AttributeNames=["ApproximateNumberOfMessages"])
    assert told["Attributes"]["ApproximateNumberOfMessages"] == str(len(accepted))
    await connection.aclose()
    status, answer = await _get(server.port, "/health/live")
    assert status == 200
    status, answer = await _get(server.port, "/health/ready")
    assert status == 503
    assert answer["reasons"][0]["code"] == "store_unavailable"


async def test_rest_says_in_a_problem_that_the_store_cannot_keep_it(server: ServerProcess) -> None:
    await _send_until_refused(server.port, senders=1)
    body = json.dumps({"messages": [{"body": _FILLING * 20}]}).encode()
    status, problem = await _request(server.port, b"POST /v1/queues/orders/messages", body)
    assert status == 503
    assert problem["code"] == "store_unavailable"
    assert problem["hint"]


async def test_work_goes_on_without_a_restart_when_there_is_room_again(server: ServerProcess) -> None:
    accepted, _ = await _send_until_refused(server.port, senders=2)
    _set_room(server)
    connection = await SqsConnection.open(server.port)
    for number in range(100):
        body = f"later {number} {_FILLING}"
        await connection.call("SendMessage", QueueUrl=_URL, MessageBody=body)
        accepted.add(body)
    await connection.aclose()
    assert await _receive_all(server.port) == accepted


async def test_a_server_killed_on_a_full_disk_has_everything_when_it_is_started_with_room(
    server: ServerProcess, tmp_path: Path
) -> None:
    accepted, _ = await _send_until_refused(server.port, senders=4)
    await server.kill()
    again = ServerProcess(f"sqlite:///{tmp_path / 'penstock.db'}", tmp_path / "again.log")
    await again.start()
    try:
        assert await _receive_all(again.port) == accepted
    finally:
        await again.kill()


async def _send_until_refused(port: int, *, senders: int) -> tuple[set[str], list[Refused]]:
    """Send until every sender was refused some times in a row; return the bodies of what was accepted."""
    accepted: set[str] = set()
    refusals: list[Refused] = []

    async def send(name: int) -> None:
        connection = await SqsConnection.open(port)
        in_a_row = 0
        for number in range(_MOST_SENDS):
            body = f"{name}-{number} {_FILLING}"
            try:
                await connection.call("SendMessage", QueueUrl=_URL, MessageBody=body)
            except Refused as refused:
                refusals.append(refused)
                in_a_row += 1
                if in_a_row == 3:
                    break
            else:
                in_a_row = 0
                accepted.add(body)
        await connection.aclose()
        assert in_a_row == 3, "the disk did not get full"

    await asyncio.gather(*map(send, range(senders)))
    return accepted, refusals


async def _receive_all(port: int) -> set[str]:
    """Return the bodies of all messages; each must come once."""
    connection = await SqsConnection.open(port)
    found: list[str] = []
    while True:
        answer = await connection.call("ReceiveMessage", QueueUrl=_URL, MaxNumberOfMessages=10)
        if "Messages" not in answer:
            break
        found += [each["Body"] for each in answer["Messages"]]
    await connection.aclose()
    assert len(found) == len(set(found))
    return set(found)


def _set_room(server: ServerProcess, size: int = resource.RLIM_INFINITY) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def _get(port: int, path: str) -> "tuple[int, dict[str, list[dict[str, str]]]]":
    return await _request(port, b"GET " + path.encode(), b"")


async def _request(port: int, start: bytes, body: bytes) -> tuple[int, dict]:  # type: ignore[type-arg]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"%s HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (start, len(body), body))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
    answer = json.loads(await reader.readexactly(length))
    writer.transport.abort()
    await asyncio.sleep(0)
    return int(head.split()[1]), answer
