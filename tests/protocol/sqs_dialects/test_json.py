"""What only the JSON protocol has: targets, types, headers."""

import json
from typing import Any

import pytest

from penstock.broker.local import LocalBroker
from penstock.core.errors import AccessDenied, NotAuthenticated, PenstockError, StoreUnavailable
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from penstock.wire.http import Request, Response
from tests.protocol.sqs_dialects.client import ACCOUNT, HOST, REGION, REQUEST_ID, SqsClient


@pytest.fixture
async def sqs() -> SqsClient:
    store, clock = MemoryStore(), ManualClock()
    return SqsClient("json", LocalBroker(store, clock), store, clock)


def request(target: str, body: bytes, path: str = "/") -> Request:
    headers = {b"x-amz-target": target.encode(), b"host": HOST.encode()}
    return Request("POST", path, b"", headers, body, "http", ACCOUNT, REGION, REQUEST_ID)


def told(response: Response) -> tuple[int, str, str]:
    body = json.loads(response.body)
    assert set(body) == {"__type", "message"}
    query_error = dict(response.headers)[b"x-amzn-query-error"].decode()
    return response.status, body["__type"], query_error


@pytest.mark.parametrize("target", ["", "AmazonSQS.Nonsense", "DynamoDB.ListTables", "AmazonSQS.", "SendMessage"])
async def test_an_unknown_target_is_an_unknown_operation(sqs: SqsClient, target: str) -> None:
    response = await sqs.raw(request(target, b"{}"))
    assert told(response) == (
        404,
        "com.amazon.coral.service#UnknownOperationException",
        "UnknownOperationException;Sender",
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "could not be understood"),
        (b"\xff", "could not be understood"),
        (b"[]", "list found where not expected"),
        (b'"text"', "STRING_VALUE can not be converted to Structure"),
        (b'{"QueueUrl":5,"MessageBody":"x"}', "NUMBER_VALUE can not be converted to String"),
        (b'{"QueueUrl":true,"MessageBody":"x"}', "BOOLEAN_VALUE can not be converted to String"),
        (b'{"QueueUrl":"q","MessageBody":{}}', "structure or map found where not expected"),
        (b'{"QueueUrl":"q","MessageBody":"x","DelaySeconds":"5"}', "STRING_VALUE can not be converted to Integer"),
        (b'{"QueueUrl":"q","MessageBody":"x","MessageAttributes":[]}', "list found where not expected"),
        (b'{"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"not base64!"}}}', ""),
        (b'{"MessageBody":"\\ud800"}', ""),
        (b"[" * 100_000, ""),
    ],
)
async def test_json_that_is_none_or_of_the_wrong_type_is_a_serialization_error(
    sqs: SqsClient, body: bytes, words: str
) -> None:
    response = await sqs.raw(request("AmazonSQS.SendMessage", body))
    status, shape, _ = told(response)
    assert (status, shape) == (400, "com.amazon.coral.service#SerializationException")
    assert words in json.loads(response.body)["message"]


async def test_unknown_members_nulls_and_an_empty_body_are_ignored(sqs: SqsClient) -> None:
    await sqs.create("q")
    body = b'{"QueueUrl":"q","MessageBody":"x","DelaySeconds":null,"Unknown":{"a":[1]}}'
    assert (await sqs.raw(request("AmazonSQS.SendMessage", body))).status == 200
    assert json.loads((await sqs.raw(request("AmazonSQS.ListQueues", b""))).body) == {
        "QueueUrls": ["http://localhost:3000/000000000000/q"]
    }


async def test_a_request_to_the_queue_url_works_and_may_leave_it_out(sqs: SqsClient) -> None:
    await sqs.create("q")
    for body in (b'{"QueueUrl":"http://localhost:3000/000000000000/q"}', b"{}"):
        response = await sqs.raw(request("AmazonSQS.ReceiveMessage", body, "/000000000000/q"))
        assert (response.status, response.body) == (200, b"{}")
        assert dict(response.headers)[b"content-type"] == b"application/x-amz-json-1.0"


async def test_actions_without_a_result_answer_an_empty_object(sqs: SqsClient) -> None:
    await sqs.create("q")
    assert (await sqs.raw(request("AmazonSQS.DeleteQueue", b'{"QueueUrl":"q"}'))).body == b"{}"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            NotAuthenticated("x", field="authorization"),
            (403, "MissingAuthenticationTokenException", "MissingAuthenticationToken;Sender"),
        ),
        (
            NotAuthenticated("x", field="access_key"),
            (403, "UnrecognizedClientException", "InvalidClientTokenId;Sender"),
        ),
        (NotAuthenticated("x", field="signature"), (403, "InvalidSignatureException", "SignatureDoesNotMatch;Sender")),
        (NotAuthenticated("x", field="date"), (400, "RequestExpired", "RequestExpired;Sender")),
        (AccessDenied("x"), (403, "AccessDeniedException", "AccessDenied;Sender")),
        (StoreUnavailable("x"), (503, "ServiceUnavailable", "ServiceUnavailable;Receiver")),
        (PenstockError("secret"), (500, "InternalFailure", "InternalFailure;Receiver")),
    ],
)
def test_errors_of_the_server_have_words_of_sqs(error: PenstockError, expected: tuple[Any, ...]) -> None:
    dialect = SqsClient("json", None, None, None).dialect  # type: ignore[arg-type]
    response = dialect.refuse(request("AmazonSQS.ListQueues", b"{}"), error)
    status, shape, query_error = told(response)
    assert (status, shape.rpartition("#")[2], query_error) == expected
    assert b"secret" not in response.body
