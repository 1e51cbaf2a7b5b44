"""Keys over HTTP: every face asks for one, in its own words, and nobody reaches another account's queues."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from msgspec import structs

from penstock.broker.local import LocalBroker
from penstock.core.effects import Arrival, Effects, FollowUp, Guard, Join, Record
from penstock.core.errors import AccessDenied
from penstock.core.messages import Draft
from penstock.core.operations import (
    Apply,
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteMessages,
    ListQueues,
    Operation,
    ReadEvents,
    Reschedule,
    Settle,
    UpdateQueue,
    operation_types,
)
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.settlements import Settlement
from penstock.server.access import Access
from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from penstock.wire.http import Request
from tests.support.server import running_server

HOME = Key("AKIDHOME", "the secret of the first account")
OTHER = Key("AKIDOTHER", "the secret of the other account", account="111122223333")
KEYS = (HOME, OTHER)


def sqs(url: str, key: Key, secret: str | None = None) -> Any:
    """Return boto3's client."""
    return boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=secret or key.secret,
        config=Config(retries={"max_attempts": 1}),
    )


async def refused(function: Any, **parameters: Any) -> tuple[str, int]:
    """Return code and status of the error that boto3 reports."""
    with pytest.raises(ClientError) as caught:
        await asyncio.to_thread(function, **parameters)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


async def test_boto3_with_a_good_key_is_served_and_with_a_bad_one_is_not() -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url:
        good = sqs(url, HOME)
        queue_url = (await asyncio.to_thread(good.create_queue, QueueName="orders"))["QueueUrl"]
        await asyncio.to_thread(good.send_message, QueueUrl=queue_url, MessageBody="Grüße")
        assert await refused(sqs(url, HOME, "wrong").list_queues) == ("SignatureDoesNotMatch", 403)
        assert await refused(sqs(url, Key("NOBODY", "x")).list_queues) == ("InvalidClientTokenId", 403)


async def test_accounts_do_not_see_each_other() -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url:
        home, other = sqs(url, HOME), sqs(url, OTHER)
        ours = (await asyncio.to_thread(home.create_queue, QueueName="orders"))["QueueUrl"]
        theirs = (await asyncio.to_thread(other.create_queue, QueueName="orders"))["QueueUrl"]
        assert theirs.endswith("/111122223333/orders")
        assert (await asyncio.to_thread(other.list_queues))["QueueUrls"] == [theirs]
        for client, queue_url in ((home, theirs), (other, ours)):
            assert await refused(client.send_message, QueueUrl=queue_url, MessageBody="x") == ("AccessDenied", 403)
            assert await refused(client.receive_message, QueueUrl=queue_url) == ("AccessDenied", 403)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 403),
        ("GET", "/?Action=ListQueues", 403),
        ("GET", "/v1/queues", 401),
        ("GET", "/aweq/get-stats", 401),
        ("GET", "/wq/", 401),
        ("GET", "/_aws/sqs/messages", 403),
        ("GET", "/metrics", 401),
    ],
)
async def test_every_face_asks_for_a_key(method: str, path: str, status: int) -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url, httpx.AsyncClient(base_url=url) as http:
        headers = {"x-amz-target": "AmazonSQS.ListQueues"} if method == "POST" else {}
        for extra in ({}, {"authorization": "Bearer AKIDHOME:wrong"}):
            answer = await http.request(method, path, headers={**headers, **extra})
            assert answer.status_code in (status, 401, 403)
        assert answer.status_code >= 400
        for auth in ({"authorization": f"Bearer {HOME.access_key_id}:{HOME.secret}"}, {}):
            basic = None if auth else httpx.BasicAuth(HOME.access_key_id, HOME.secret)
            answer = await http.request(method, path, headers={**headers, **auth}, auth=basic)
            assert answer.status_code not in (401, 403), answer.text


async def test_health_and_preflights_need_no_key() -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/health/live")).status_code == 200
        assert (await http.get("/health/ready")).status_code == 200
        assert (await http.options("/aweq/send-message")).status_code == 204
        target = {"x-amz-target": "AmazonSQS.CreateQueue"}
        assert (await http.request("OPTIONS", "/", json={"QueueName": "orders"}, headers=target)).status_code == 204
        assert (await http.request("OPTIONS", "/v1/queues", json={"queue": "orders"})).status_code < 500
        listed = await http.get("/v1/queues", headers={"authorization": f"Bearer {HOME.access_key_id}:{HOME.secret}"})
        assert listed.json()["queues"] == []


def access_to(store: MemoryStore) -> Access:
    return Access(LocalBroker(store), account="000000000000", region="us-east-1", now_ms=lambda: 0)


def asked_by(account: str, action: str = "") -> Request:
    return Request("POST", "/", b"", {}, b"", "http", account, "us-east-1", "id", user="robin", action=action)


def every_operation() -> Iterator[Operation[Any]]:
    """Return one operation of each kind, on a queue ``q`` of the server's own account where it names one."""
    follow_up = FollowUp("q", Draft("x"))
    values = {
        "queue": "q",
        "source": "q",
        "target": "q",
        "prefix": "",
        "group_id": "g",
        "is_parked": True,
        "settings": QueueChanges(),
        "messages": (Draft("x"),),
        "settlements": (Settlement("q", "x"),),
        "effects": Effects(sends=(follow_up,)),
        "message_ids": ("x",),
    }
    for kind in operation_types():
        fields = [field.name for field in structs.fields(kind) if field.required or field.name in values]
        yield kind(**{name: values.get(name, ()) for name in fields})


@pytest.mark.parametrize("operation", [*every_operation()], ids=lambda operation: type(operation).__name__)
async def test_every_operation_is_somebodys(operation: Operation[Any]) -> None:
    access = access_to(MemoryStore())
    await access.check(asked_by("000000000000"), operation)
    if not isinstance(operation, CancelMove):  # the id of a move is a secret
        for action in ("", "GetQueueAttributes", "SendMessage", "SetQueueAttributes"):
            with pytest.raises(AccessDenied):
                await access.check(asked_by("111122223333", action), operation)


async def test_an_account_may_do_everything_with_its_own() -> None:
    access = access_to(MemoryStore())
    own = "eu-west-1/111122223333/"
    await access.check(asked_by("111122223333"), ListQueues(own))
    await access.check(asked_by("111122223333"), ListQueues(dead_letter_queue=own + "q"))
    await access.check(asked_by("111122223333"), Settle((Settlement(own + "q", "x"),)))
    await access.check(asked_by("000000000000"), ListQueues("eu-west-1/000000000000/x"))
    for operation in (ListQueues(own), Settle((Settlement("q", "x"), Settlement(own + "q", "x")))):
        with pytest.raises(AccessDenied):
            await access.check(asked_by("000000000000"), operation)
    for reaches_all in (Cancel(("x",)), ReadEvents()):
        with pytest.raises(AccessDenied):
            await access.check(asked_by("111122223333"), reaches_all)


@pytest.mark.parametrize(
    "effects",
    [
        Effects(sends=(FollowUp("q", Draft("x")),)),
        Effects(records=(Record("key", b""),)),
        Effects(forgets=("key",)),
        Effects(sends=(FollowUp("eu-west-1/111122223333/q", Draft("x")),), guards=(Guard("key", None),)),
        Effects(arrivals=(Arrival("join", "part"),)),
        Effects(joins=(Join("join", 1, FollowUp("eu-west-1/111122223333/q", Draft("x"))),)),
    ],
)
async def test_effects_reach_no_further_than_their_account(effects: Effects) -> None:
    access = access_to(MemoryStore())
    settle = Settle((Settlement("eu-west-1/111122223333/q", "x", effects=effects),))
    for operation in (Apply(effects), settle):
        with pytest.raises(AccessDenied):
            await access.check(asked_by("111122223333"), operation)


@pytest.mark.parametrize("kind", [CreateQueue, UpdateQueue])
async def test_nobody_dead_letters_into_the_queue_of_another(kind: Callable[..., Operation[Any]]) -> None:
    access = access_to(MemoryStore())
    own = "eu-west-1/111122223333/"
    await access.check(asked_by("111122223333"), kind(own + "q", QueueChanges(redrive=RedrivePolicy(own + "dead", 1))))
    with pytest.raises(AccessDenied):
        await access.check(asked_by("111122223333"), kind(own + "q", QueueChanges(redrive=RedrivePolicy("q", 1))))


@pytest.mark.parametrize("kind", [Cancel, DeleteMessages, partial(Reschedule, deliver_at=0)], ids=str)
async def test_messages_may_be_named_by_id_in_an_accounts_own_queues(kind: Callable[..., Operation[Any]]) -> None:
    access = access_to(MemoryStore())
    own = "eu-west-1/111122223333/q"
    await access.check(asked_by("000000000000"), kind(("x",)))
    await access.check(asked_by("000000000000"), kind(("x",), queue="q"))
    await access.check(asked_by("111122223333"), kind(("x",), queue=own))
    for account, queue in (("111122223333", "q"), ("111122223333", None), ("000000000000", own)):
        with pytest.raises(AccessDenied):
            await access.check(asked_by(account), kind(("x",), queue=queue))
