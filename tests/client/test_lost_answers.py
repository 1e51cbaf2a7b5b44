"""What HttpBroker does when connections break, answers are late, or something else answers."""

import asyncio
from typing import Any

import msgspec
import pytest

from penstock.client.http import HttpBroker
from penstock.client.repeating import may_repeat, named
from penstock.core.effects import Effects, FollowUp, Join, Record
from penstock.core.errors import AccessDenied, MessageTooLarge, PenstockError, StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import (
    Apply,
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteQueue,
    DescribeQueue,
    Done,
    PurgeQueue,
    PutRecords,
    Receive,
    ReceiveReply,
    ReleaseLeases,
    Send,
    Sent,
    Settle,
    StartMove,
)
from penstock.core.settlements import ChangeVisibility, GiveBack, Settlement
from tests.client.scripted import HANG_UP, SILENCE, response, scripted
from tests.support.turns import until

EMPTY = response(b'{"deliveries":[]}')
ID = "ffffffff-0000-4000-8000-000000000001"


def _drafts(request: bytes) -> Any:
    return msgspec.json.decode(request.partition(b"\r\n\r\n")[2])["messages"]


async def test_a_send_whose_answer_is_lost_is_repeated_with_the_same_ids() -> None:
    async with scripted(HANG_UP) as server:
        broker = HttpBroker(server.url)
        sending = asyncio.create_task(broker.perform(Send("orders", (Draft("a"), Draft("b", message_id=ID)))))
        await until(lambda: len(server.requests) == 1, "it was sent once")
        first, second = _drafts(server.requests[0])
        sent = [
            {"outcome": "sent", "sequence_number": 1, "is_duplicate": True, "message_id": each["message_id"]}
            for each in (first, second)
        ]
        server.script.append(response(msgspec.json.encode({"outcomes": sent})))
        reply = await sending
        assert _drafts(server.requests[1]) == [first, second]
        # the id that we minted can only be known from our own first attempt, the caller's may be older
        assert reply.outcomes == (Sent(first["message_id"], 1), Sent(ID, 1, is_duplicate=True))
        await broker.aclose()


async def test_what_may_not_be_repeated_is_asked_once() -> None:
    for operation in (Cancel((ID,)), PurgeQueue("orders"), StartMove("dead"), DeleteQueue("orders")):
        async with scripted(HANG_UP) as server:
            broker = HttpBroker(server.url)
            with pytest.raises(StoreUnavailable, match="broke before the answer"):
                await broker.perform(operation)
            assert len(server.requests) == 1


async def test_a_repeated_operation_is_not_repeated_again() -> None:
    async with scripted(HANG_UP, HANG_UP) as server:
        broker = HttpBroker(server.url)
        with pytest.raises(StoreUnavailable):
            await broker.perform(DescribeQueue("orders"))
        assert len(server.requests) == 2


async def test_an_idle_connection_that_the_server_closed_is_replaced() -> None:
    async with scripted(EMPTY, EMPTY) as server:
        broker = HttpBroker(server.url)
        server.script[0] = response(b'{"deliveries":[]}', headers=["connection: close"])
        for _ in range(2):
            assert await broker.perform(Receive("orders", 1, 0)) == ReceiveReply(())
        assert server.connections == 2
        await broker.aclose()


async def test_a_late_answer_is_not_waited_for() -> None:
    async with scripted(SILENCE) as server:
        broker = HttpBroker(server.url, answer_seconds=0.01)
        with pytest.raises(StoreUnavailable, match="did not answer within"):
            await broker.perform(DescribeQueue("orders"))
        await until(lambda: server.open_connections == 0, "its connection is closed")
        assert len(server.requests) == 1


async def test_a_cancelled_call_closes_its_connection() -> None:
    async with scripted(SILENCE) as server:
        broker = HttpBroker(server.url)
        call = asyncio.create_task(broker.perform(Receive("orders", 1, 20)))
        await until(lambda: len(server.requests) == 1, "it was asked")
        call.cancel()
        await until(lambda: server.open_connections == 0, "its connection is closed")
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    async with scripted() as server:
        url = server.url
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await HttpBroker(url).perform(DescribeQueue("orders"))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + EMPTY,
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"d\r\ne\r\neliveries":[]}\r\n0\r\n\r\n',
    ],
    ids=["continue", "chunked"],
)
async def test_any_form_of_answer_is_read(answer: bytes) -> None:
    async with scripted(answer, EMPTY) as server:
        broker = HttpBroker(server.url)
        for _ in range(2):
            assert await broker.perform(Receive("orders", 1, 0)) == ReceiveReply(())
        assert server.connections == 1
        await broker.aclose()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response(b"<html>", 502), StoreUnavailable),
        (response(b"<html>", 200), StoreUnavailable),
        (response(b"", 301), StoreUnavailable),
        (response(b"<html>", 404), StoreUnavailable),
        (response(b"", 403), AccessDenied),
        (response(b"<html>", 413), MessageTooLarge),
        (b"SSH-2.0-OpenSSH_9.2\r\n", StoreUnavailable),
    ],
)
async def test_what_is_not_penstock_is_told(answer: bytes, kind: type[PenstockError]) -> None:
    async with scripted(answer, answer) as server:
        broker = HttpBroker(server.url)
        with pytest.raises(kind) as told:
            await broker.perform(DescribeQueue("orders"))
        assert type(told.value) is kind
        assert told.value.problem.hint
        await broker.aclose()


async def test_the_mount_point_and_the_token_are_sent() -> None:
    async with scripted(EMPTY) as server:
        broker = HttpBroker(f"{server.url}/queues/", token="id:secret")
        await broker.perform(Receive("orders", 1, 0))
        head = server.requests[0]
        assert head.startswith(b"POST /queues/v1/queues/orders/receive HTTP/1.1\r\n")
        assert b"\r\nauthorization: Bearer id:secret\r\n" in head
        await broker.aclose()


async def test_closing_lets_a_call_under_way_finish() -> None:
    async with scripted(SILENCE) as server:
        broker = HttpBroker(server.url)
        call = asyncio.create_task(broker.perform(Receive("orders", 1, 20)))
        await until(lambda: len(server.requests) == 1, "it was asked")
        await broker.aclose()
        assert not call.done()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


ONCE = Record("k", b"", only_if_absent=True)
JOIN = Join("j", 2, FollowUp("q", Draft("x")))


@pytest.mark.parametrize(
    "operation",
    [
        CreateQueue("q"),
        Receive("q"),
        ReleaseLeases("w"),
        Settle((Settlement("q", "h"), Settlement("q", "h", ChangeVisibility(5)))),
        Settle((Settlement("q", "h", effects=Effects(sends=(FollowUp("q", Draft("x")),))),)),
        PutRecords((Record("k", b""),)),
        Apply(Effects(sends=(FollowUp("q", Draft("x")),))),
    ],
    ids=repr,
)
def test_once_and_twice_are_the_same(operation: Any) -> None:
    assert may_repeat(operation)


@pytest.mark.parametrize(
    "operation",
    [
        CancelMove("m"),
        Settle((Settlement("q", "h"), Settlement("q", "h", GiveBack()))),
        Settle((Settlement("q", "h", effects=Effects(records=(ONCE,))),)),
        PutRecords((Record("k", b""), ONCE)),
        Apply(Effects(joins=(JOIN,))),
    ],
    ids=repr,
)
def test_twice_is_not_the_same_as_once(operation: Any) -> None:
    assert not may_repeat(operation)


def test_every_message_gets_an_id() -> None:
    effects = Effects(sends=(FollowUp("q", Draft("x")), FollowUp("q", Draft("x", message_id=ID))), joins=(JOIN,))
    ids = iter("abcd")
    changed = named(Settle((Settlement("q", "h"), Settlement("q", "h", effects=effects))), lambda queue: next(ids))
    assert changed.settlements[0] == Settlement("q", "h")
    named_effects = changed.settlements[1].effects
    assert [each.message.message_id for each in named_effects.sends] == ["a", ID]
    assert named_effects.joins[0].follow_up.message.message_id == "b"
    assert named(Apply(effects), lambda queue: next(ids)).effects.sends[0].message.message_id == "c"
    assert Done() == named(Done(), lambda queue: "never")  # type: ignore[type-var]
