"""Queue policies through real servers: what an owner gives another account, and what it denies itself."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from penstock.broker.local import LocalBroker
from penstock.core.errors import AccessDenied, StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import CreateQueue, DescribeQueue, Operation, Receive, Send, UpdateQueue
from penstock.core.queues import QueueChanges
from penstock.server.access import Access
from penstock.server.options import Key
from penstock.server.policies import FRESH_SECONDS
from penstock.store import open_store
from penstock.store.memory import MemoryStore
from penstock.wire.http import Request
from tests.server.test_access import HOME, OTHER, sqs
from tests.support.server import running_server

ROBIN = Key("AKIDROBIN", "the secret of the first account's robin", name="robin")
KEYS = (HOME, ROBIN, OTHER)
ARN = "arn:aws:sqs:us-east-1:000000000000:orders"
THEIR_USER = "arn:aws:iam::111122223333:user/AKIDOTHER"


class Caller:
    """boto3 on one key, and what becomes of its calls on the queue ``orders``."""

    def __init__(self, url: str, key: Key, queue_url: str) -> None:
        self.client = sqs(url, key)
        self.queue_url = queue_url

    async def __call__(self, action: str, **more: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, action), QueueUrl=self.queue_url, **more)

    async def may(self, action: str, **more: Any) -> bool:
        """Return whether a call is not refused for want of permission."""
        try:
            await self(action, **more)
        except ClientError as error:
            return error.response["Error"]["Code"] != "AccessDenied"
        return True

    async def may_do(self) -> set[str]:
        """Return the actions that this caller may call."""
        own = [action for action, more in CALLS.items() if await self.may(action, **more)]
        try:
            await asyncio.to_thread(self.client.get_queue_url, QueueName="orders", QueueOwnerAWSAccountId="0" * 12)
        except ClientError:
            return set(own)
        return {*own, "get_queue_url"}

    async def set_policy(self, *statements: dict[str, Any]) -> None:
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        await self("set_queue_attributes", Attributes={"Policy": json.dumps(policy) if statements else ""})


CALLS: dict[str, dict[str, Any]] = {
    "send_message": {"MessageBody": "x"},
    "send_message_batch": {"Entries": [{"Id": "a", "MessageBody": "x"}]},
    "receive_message": {},
    "delete_message": {"ReceiptHandle": "x"},
    "delete_message_batch": {"Entries": [{"Id": "a", "ReceiptHandle": "x"}]},
    "change_message_visibility": {"ReceiptHandle": "x", "VisibilityTimeout": 0},
    "change_message_visibility_batch": {"Entries": [{"Id": "a", "ReceiptHandle": "x", "VisibilityTimeout": 0}]},
    "get_queue_attributes": {"AttributeNames": ["All"]},
    "list_dead_letter_source_queues": {},
    "purge_queue": {},
    "list_queue_tags": {},
    "tag_queue": {"Tags": {"a": "b"}},
    "untag_queue": {"TagKeys": ["a"]},
    "set_queue_attributes": {"Attributes": {"VisibilityTimeout": "30"}},
    "add_permission": {"Label": "x", "AWSAccountIds": ["111122223333"], "Actions": ["*"]},
    "remove_permission": {"Label": "none"},
}
SHAREABLE = {*list(CALLS)[:10], "get_queue_url"}


async def callers(url: str) -> tuple[Caller, Caller, Caller]:
    """Make the queue; return its owner, another key of the same account, and the other account."""
    queue_url = (await asyncio.to_thread(sqs(url, HOME).create_queue, QueueName="orders"))["QueueUrl"]
    return Caller(url, HOME, queue_url), Caller(url, ROBIN, queue_url), Caller(url, OTHER, queue_url)


def statement(effect: str, action: Any = "sqs:SendMessage", principal: Any = "*", **more: Any) -> dict[str, Any]:
    who = {} if "NotPrincipal" in more else {"Principal": principal}
    return {"Effect": effect, **who, "Action": action, "Resource": ARN, **more}


async def test_a_permission_lets_another_account_do_that_and_nothing_else() -> None:
    async with running_server(MemoryStore(), keys=KEYS, limits="relaxed") as url:
        owner, _, other = await callers(url)
        assert await other.may_do() == set()
        await owner("add_permission", Label="them", AWSAccountIds=["111122223333"], Actions=["SendMessage"])
        assert await other.may_do() == {"send_message", "send_message_batch"}
        await owner("remove_permission", Label="them")
        assert await other.may_do() == set()
        await owner("add_permission", Label="them", AWSAccountIds=["111122223333"], Actions=["*"])
        assert await other.may_do() == SHAREABLE


@pytest.mark.parametrize(
    ("action", "calls"),
    [
        ("ReceiveMessage", {"receive_message"}),
        ("DeleteMessage", {"delete_message", "delete_message_batch"}),
        ("ChangeMessageVisibility", {"change_message_visibility", "change_message_visibility_batch"}),
        ("GetQueueAttributes", {"get_queue_attributes"}),
        ("GetQueueUrl", {"get_queue_url"}),
        ("ListDeadLetterSourceQueues", {"list_dead_letter_source_queues"}),
        ("PurgeQueue", {"purge_queue"}),
        ("SetQueueAttributes", set()),
    ],
)
async def test_every_action_that_can_be_given_is_given_alone(action: str, calls: set[str]) -> None:
    async with running_server(MemoryStore(), keys=KEYS, limits="relaxed") as url:
        owner, _, other = await callers(url)
        await owner.set_policy(statement("Allow", f"sqs:{action}"))
        assert await other.may_do() == calls


async def test_refusals_are_in_the_words_of_aws_in_both_protocols() -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url, httpx.AsyncClient(base_url=url) as http:
        owner, robin, other = await callers(url)
        why = "because no resource-based policy allows the sqs:sendmessage action"
        words = f"User: {THEIR_USER} is not authorized to perform: sqs:sendmessage on resource: {ARN} {why}"
        with pytest.raises(ClientError) as refused:
            await other("send_message", MessageBody="x")
        assert refused.value.response["Error"]["Message"] == words
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        bearer = {"authorization": f"Bearer {OTHER.access_key_id}:{OTHER.secret}"}
        form = {"Action": "SendMessage", "QueueUrl": owner.queue_url, "MessageBody": "x"}
        answer = await http.post("/", data=form, headers=bearer)
        assert answer.status_code == 403
        assert f"<Code>AccessDenied</Code><Message>{words}</Message>" in answer.text.replace("\n", "")
        await owner.set_policy(statement("Deny", "*"))
        with pytest.raises(
            ClientError, match=r"arn:aws:iam::000000000000:user/robin .* with an explicit deny in a res"
        ):
            await robin("send_message", MessageBody="x")


async def test_a_denial_holds_for_the_owner_who_can_always_read_and_change_the_policy() -> None:
    async with running_server(MemoryStore(), keys=KEYS, limits="relaxed") as url:
        owner, robin, _ = await callers(url)
        await owner.set_policy(statement("Deny", "sqs:PurgeQueue", {"AWS": "arn:aws:iam::000000000000:user/robin"}))
        assert not await robin.may("purge_queue")
        assert await owner.may("purge_queue")
        await owner.set_policy(statement("Deny", "sqs:*"))
        about_policy = {
            "add_permission",
            "get_queue_attributes",
            "get_queue_url",
            "list_queue_tags",
            "remove_permission",
        }
        assert await owner.may_do() == about_policy
        assert not await owner.may("delete_queue")
        assert not await owner.may("set_queue_attributes", Attributes={"Policy": "", "DelaySeconds": "1"})
        await owner.set_policy()
        assert await owner.may("purge_queue")


async def test_principals() -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url:
        owner, robin, other = await callers(url)
        for principal, is_allowed in (
            ("*", True),
            ({"AWS": "*"}, True),
            ({"AWS": "111122223333"}, True),
            ({"AWS": THEIR_USER}, True),
            ({"AWS": "999999999999"}, False),
        ):
            await owner.set_policy(statement("Allow", principal=principal))
            assert await other.may("send_message", MessageBody="x") is is_allowed, principal
        await owner.set_policy(
            statement("Deny", NotPrincipal={"AWS": "arn:aws:iam::000000000000:user/robin"}), statement("Allow")
        )
        assert await robin.may("send_message", MessageBody="x")
        assert not await owner.may("send_message", MessageBody="x")
        assert not await other.may("send_message", MessageBody="x")


async def test_conditions_on_address_and_tls() -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url:
        owner, _, other = await callers(url)
        for condition, is_allowed in (
            ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
            ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
            ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
            ({"Bool": {"aws:SecureTransport": "false"}}, True),
            ({"Bool": {"aws:SecureTransport": "true"}}, False),
            ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
            ({"DateGreaterThan": {"aws:CurrentTime": "2999-01-01T00:00:00Z"}}, False),
        ):
            await owner.set_policy(statement("Allow", Condition=condition))
            assert await other.may("send_message", MessageBody="x") is is_allowed, condition


async def test_what_a_client_says_of_itself_is_not_believed() -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url, httpx.AsyncClient(base_url=url) as http:
        owner, _, _ = await callers(url)
        condition = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "Bool": {"aws:SecureTransport": "true"}}
        await owner.set_policy(statement("Allow", Condition=condition))
        headers = {
            "authorization": f"Bearer {OTHER.access_key_id}:{OTHER.secret}",
            "x-forwarded-for": "10.1.2.3",
            "x-forwarded-proto": "https",
        }
        sent = await http.post("/v1/queues/orders/messages", json={"messages": [{"body": "x"}]}, headers=headers)
        assert sent.status_code == 403


async def test_other_dialects_follow_policies_too() -> None:
    async with running_server(MemoryStore(), keys=KEYS) as url, httpx.AsyncClient(base_url=url) as http:
        owner, _, _ = await callers(url)
        http.headers["authorization"] = f"Bearer {OTHER.access_key_id}:{OTHER.secret}"
        body = {"messages": [{"body": "x"}]}
        refused = await http.post("/v1/queues/orders/messages", json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "access_denied")
        assert (await http.post("/aweq/send-message", json={"message": "x"})).status_code == 403
        await owner.set_policy(statement("Allow"))
        assert (await http.post("/v1/queues/orders/messages", json=body)).status_code == 200
        assert (await http.get("/v1/queues/orders")).status_code == 403
        assert (await http.get("/v1/queues/orders/messages")).status_code == 403
        effects = {"sends": [{"queue": "orders", "message": {"body": "x"}}]}
        assert (await http.post("/v1/apply", json={"effects": effects})).status_code == 200
        assert (await http.post("/v1/queues/a%2Fb/messages", json=body)).status_code == 403


async def test_a_policy_that_nobody_can_read_gives_nothing() -> None:
    store = MemoryStore()
    local = LocalBroker(store)
    async with running_server(store, keys=KEYS, local=local) as url:
        owner, _, other = await callers(url)
        await local.perform(UpdateQueue("orders", QueueChanges(edge_attributes={"Policy": '{"Statement": 1}'})))
        assert not await other.may("send_message", MessageBody="x")
        assert await owner.may("send_message", MessageBody="x")


async def test_what_another_process_changes_is_followed_within_about_a_second(tmp_path: Path) -> None:
    url_of_store = f"sqlite:///{tmp_path}/penstock.db"
    stores = [await open_store(url_of_store) for _ in range(2)]
    try:
        async with running_server(stores[0], keys=KEYS) as here, running_server(stores[1], keys=KEYS) as there:
            owner, _, _ = await callers(here)
            other = Caller(there, OTHER, owner.queue_url)
            loop = asyncio.get_running_loop()
            for is_allowed in (True, False):
                assert await other.may("send_message", MessageBody="x") is not is_allowed
                await owner.set_policy(*([statement("Allow")] if is_allowed else []))
                changed_at = loop.time()
                while await other.may("send_message", MessageBody="x") is not is_allowed:
                    assert loop.time() < changed_at + FRESH_SECONDS + 1
    finally:
        for store in stores:
            await store.aclose()


# -- what it costs -------------------------------------------------------------------------------------------------


class Counted:
    """A broker that counts the descriptions it was asked for."""

    def __init__(self) -> None:
        self._broker = LocalBroker(MemoryStore())
        self.described = 0
        self.error: Exception | None = None

    async def perform(self, operation: Operation[Any]) -> Any:
        if type(operation) is DescribeQueue:
            self.described += 1
            await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
        return await self._broker.perform(operation)

    async def aclose(self) -> None:
        await self._broker.aclose()


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked_by(account: str) -> Request:
    return Request("POST", "/", b"", {}, b"", "http", account, "us-east-1", "id", user="robin")


def counted_access() -> tuple[Counted, Seconds, Access]:
    broker, seconds = Counted(), Seconds()
    access = Access(broker, account="0" * 12, region="us-east-1", now_ms=lambda: 0, monotonic_seconds=seconds)
    return broker, seconds, access


async def test_a_policy_is_read_once_a_second_whoever_asks() -> None:
    broker, seconds, access = counted_access()
    await broker.perform(CreateQueue("orders"))
    request, send = asked_by("0" * 12), Send("orders", (Draft("x"),))
    assert not access.is_plain(request, send)
    await asyncio.gather(*(access.check(request, each) for each in [send, Receive("orders")] * 10))
    assert broker.described == 1
    assert access.is_plain(request, send)
    seconds.now += FRESH_SECONDS
    assert not access.is_plain(request, send)
    await access.check(request, send)
    assert broker.described == 2


async def test_what_cannot_be_given_is_refused_without_a_look_at_the_policy() -> None:
    broker, _, access = counted_access()
    with pytest.raises(AccessDenied):
        await access.check(asked_by("111122223333"), CreateQueue("orders"))
    assert broker.described == 0


async def test_a_change_during_a_reading_makes_it_be_read_again() -> None:
    broker, _, access = counted_access()
    await broker.perform(CreateQueue("orders"))
    other, send = asked_by("111122223333"), Send("orders", (Draft("x"),))
    asking = asyncio.create_task(access.check(other, send))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert broker.described == 1
    update = UpdateQueue(
        "orders", QueueChanges(edge_attributes={"Policy": json.dumps({"Statement": statement("Allow")})})
    )
    await broker.perform(update)
    access.performed(update)
    await asking
    assert broker.described == 2


async def test_when_the_store_is_away_nobody_is_let_in_and_the_next_asks_again() -> None:
    broker, _, access = counted_access()
    broker.error = StoreUnavailable("It is away.")
    request, send = asked_by("0" * 12), Send("orders", (Draft("x"),))
    with pytest.raises(StoreUnavailable):
        await access.check(request, send)
    broker.error = None
    await access.check(request, send)
