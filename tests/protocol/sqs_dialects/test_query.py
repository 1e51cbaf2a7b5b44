"""What only the Query protocol has, as measured on AWS: forms, query strings, requests to queue URLs, XML, its JSON."""

import json
from xml.etree import ElementTree

import pytest

from penstock.broker.local import LocalBroker
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from penstock.wire.http import Request, Response
from tests.protocol.sqs_dialects.client import ACCOUNT, HOST, REGION, REQUEST_ID, SqsClient, form

QUEUE = "/000000000000/q"


@pytest.fixture
async def sqs() -> SqsClient:
    store, clock = MemoryStore(), ManualClock()
    sqs = SqsClient("query", LocalBroker(store, clock), store, clock)
    await sqs.create("q")
    return sqs


async def get(sqs: SqsClient, path: str, accept: str = "", **parameters: str) -> Response:
    headers = {b"host": HOST.encode(), **({b"accept": accept.encode()} if accept else {})}
    return await sqs.raw(Request("GET", path, form(parameters), headers, b"", "http", ACCOUNT, REGION, REQUEST_ID))


async def post(sqs: SqsClient, path: str, body: bytes, query: bytes = b"", content_type: str = "") -> Response:
    headers = {b"host": HOST.encode(), b"content-type": content_type.encode()}
    return await sqs.raw(Request("POST", path, query, headers, body, "http", ACCOUNT, REGION, REQUEST_ID))


async def test_parameters_may_be_in_the_query_string_of_the_queue_url(sqs: SqsClient) -> None:
    response = await get(sqs, QUEUE, Action="SendMessage", MessageBody="hello & <you>")
    assert response.status == 200
    assert response.body.startswith(b'<?xml version="1.0"?><SendMessageResponse xmlns="http://queue.amazonaws.com/doc/')
    received = await get(sqs, QUEUE, Action="ReceiveMessage")
    assert b"<Body>hello &amp; &lt;you&gt;</Body>" in received.body


async def test_parameters_may_be_in_a_form_a_query_string_or_both(sqs: SqsClient) -> None:
    for body, query in (
        (form({"Action": "SendMessage", "QueueUrl": "q", "MessageBody": "x"}), b""),
        (b"", form({"Action": "SendMessage", "QueueUrl": "q", "MessageBody": "x"})),
        (form({"QueueUrl": "q", "MessageBody": "x"}), b"Action=SendMessage&Version=2012-11-05"),
        (b"Action=SendMessage&QueueUrl=q&MessageBody=a b\xc3\xa9", b""),
    ):
        assert (await post(sqs, "/", body, query)).status == 200
    assert await sqs.counts("q") == (4, 0, 0)


async def test_the_queue_of_the_parameters_wins_over_that_of_the_path(sqs: SqsClient) -> None:
    await sqs.create("other")
    response = await get(
        sqs, QUEUE, Action="GetQueueAttributes", QueueUrl="http://x/000000000000/other", **{"AttributeName.1": "All"}
    )
    assert b"<Value>arn:aws:sqs:us-east-1:000000000000:other</Value>" in response.body


async def test_get_queue_url_works_on_another_queue(sqs: SqsClient) -> None:
    await sqs.create("other")
    response = await get(sqs, QUEUE, Action="GetQueueUrl", QueueName="other")
    assert b"<QueueUrl>http://localhost:3000/000000000000/other</QueueUrl>" in response.body


@pytest.mark.parametrize("accept", ["", "application/json"])
async def test_a_request_without_action_is_an_unknown_operation(sqs: SqsClient, accept: str) -> None:
    for path in (QUEUE, "/"):
        response = await get(sqs, path, accept)
        assert (response.status, response.body) == (404, b"<UnknownOperationException/>\n")


@pytest.mark.parametrize("action", ["FooBar", "CreateQueue", "ListQueues"])
async def test_actions_that_a_queue_url_has_not_are_invalid(sqs: SqsClient, action: str) -> None:
    response = await get(sqs, QUEUE, Action=action, QueueName="new")
    assert response.status == 400
    for words in (
        "<Type>Sender</Type>",
        "<Code>InvalidAction</Code>",
        f"<Message>The action {action} is not valid for this endpoint.</Message>",
    ):
        assert words.encode() in response.body
    told = json.loads((await get(sqs, QUEUE, "application/json", Action=action)).body)
    assert told["Error"] == {
        "Code": "InvalidAction",
        "Message": f"The action {action} is not valid for this endpoint.",
        "Type": "Sender",
    }


async def test_empty_results_are_empty_elements_and_absent_ones_absent(sqs: SqsClient) -> None:
    assert b"<ReceiveMessageResult/>" in (await get(sqs, QUEUE, Action="ReceiveMessage")).body
    deleted = (await get(sqs, QUEUE, Action="DeleteQueue")).body.decode()
    assert "Result" not in deleted
    assert "<DeleteQueueResponse xmlns=" in deleted


async def test_json_has_the_structure_that_api_gateway_passes_on(sqs: SqsClient) -> None:
    sent = json.loads((await get(sqs, QUEUE, "application/json", Action="SendMessage", MessageBody="x")).body)
    assert sent["SendMessageResponse"]["ResponseMetadata"] == {"RequestId": REQUEST_ID}
    result = sent["SendMessageResponse"]["SendMessageResult"]
    assert result["MD5OfMessageBody"] == "9dd4e461268c8034f5c8564e155c67a6"
    assert result["SequenceNumber"] is None
    received = json.loads(
        (await get(sqs, QUEUE, "application/json", Action="ReceiveMessage", **{"AttributeName.1": "SenderId"})).body
    )
    (message,) = received["ReceiveMessageResponse"]["ReceiveMessageResult"]["messages"]
    assert message["Body"] == "x"
    assert message["Attributes"] == [{"Name": "SenderId", "Value": "000000000000"}]
    assert message["MessageAttributes"] is None
    told = json.loads(
        (
            await get(
                sqs, QUEUE, "application/json", Action="GetQueueAttributes", **{"AttributeName.1": "DelaySeconds"}
            )
        ).body
    )
    attributes = told["GetQueueAttributesResponse"]["GetQueueAttributesResult"]["Attributes"]
    assert attributes == [{"Name": "DelaySeconds", "Value": "0"}]
    listed = json.loads((await get(sqs, "/", "application/json", Action="ListQueues")).body)
    assert listed["ListQueuesResponse"]["ListQueuesResult"]["queueUrls"] == ["http://localhost:3000" + QUEUE]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("MaxNumberOfMessages", "many", "InvalidParameterValue"),
        ("MaxNumberOfMessages", "", "InvalidParameterValue"),
        ("WaitTimeSeconds", "1.5", "InvalidParameterValue"),
        ("VisibilityTimeout", "9" * 50, "InvalidParameterValue"),
    ],
)
async def test_a_number_that_is_none_is_an_invalid_value(sqs: SqsClient, name: str, value: str, code: str) -> None:
    response = await get(sqs, QUEUE, Action="ReceiveMessage", **{name: value})
    assert response.status == 400
    assert f"<Code>{code}</Code>".encode() in response.body


async def test_lists_and_maps_are_read_in_the_order_of_their_numbers(sqs: SqsClient) -> None:
    parameters = {"Action": "SendMessageBatch", "QueueUrl": "q"}
    for number in (10, 2, 7):
        parameters[f"SendMessageBatchRequestEntry.{number}.Id"] = str(number)
        parameters[f"SendMessageBatchRequestEntry.{number}.MessageBody"] = str(number)
    assert (await post(sqs, "/", form(parameters))).status == 200
    assert [message["Body"] for message in await sqs.receive("q")] == ["2", "7", "10"]


async def test_a_single_entry_may_stand_without_a_number(sqs: SqsClient) -> None:
    changed = await get(
        sqs, QUEUE, Action="SetQueueAttributes", **{"Attribute.Name": "DelaySeconds", "Attribute.Value": "7"}
    )
    assert changed.status == 200
    told = await get(sqs, QUEUE, Action="GetQueueAttributes", AttributeName="DelaySeconds")
    assert b"<Attribute><Name>DelaySeconds</Name><Value>7</Value></Attribute>" in told.body


@pytest.mark.parametrize("name", ["MessageAttribute", "MessageAttributes"])
async def test_entries_may_be_called_by_the_name_of_their_member(sqs: SqsClient, name: str) -> None:
    attribute = {f"{name}.1.Name": "a", f"{name}.1.Value.DataType": "String", f"{name}.1.Value.StringValue": "x"}
    sent = await get(sqs, QUEUE, Action="SendMessage", MessageBody="x", **attribute)
    assert b"<MD5OfMessageAttributes>" in sent.body
    received = await get(sqs, QUEUE, Action="ReceiveMessage", **{"MessageAttributeNames.1": "a"})
    assert b"<MessageAttribute><Name>a</Name>" in received.body


async def test_an_empty_list_is_sent_as_an_empty_text(sqs: SqsClient) -> None:
    for name in ("AttributeNames", "AttributeName"):
        told = await get(sqs, QUEUE, Action="GetQueueAttributes", **{name: ""})
        assert (told.status, b"<Attribute>" in told.body) == (200, False)


@pytest.mark.parametrize(
    "parameters",
    [
        {"Entries": "x"},
        {"SendMessageBatchRequestEntry": "x"},
        {"SendMessageBatchRequestEntry.x.Id": "1"},
        {f"SendMessageBatchRequestEntry.{'9' * 5000}.Id": "1"},
        {"SendMessageBatchRequestEntry.1": "x"},
        {"SendMessageBatchRequestEntry.1.Id.More": "x", "SendMessageBatchRequestEntry.1.Id": "1"},
        {"SendMessageBatchRequestEntry.1.Id": "1", "SendMessageBatchRequestEntry.1.MessageBody.x": "1"},
        {"SendMessageBatchRequestEntry.1.MessageAttribute.1.Value": "1"},
        {".": "1", "..": "2", "a" * 1000 + ".1" * 1000: "x"},
    ],
    ids=str,
)
async def test_malformed_lists_are_the_clients_mistake(sqs: SqsClient, parameters: dict[str, str]) -> None:
    body = form({"Action": "SendMessageBatch", "QueueUrl": "q", **parameters})
    response = await post(sqs, "/", body)
    assert response.status == 400
    assert ElementTree.fromstring(response.body)[0].findtext("{*}Type") == "Sender"


async def test_too_many_parameters_are_a_malformed_query(sqs: SqsClient) -> None:
    response = await post(sqs, "/", b"&".join(b"a%d=1" % number for number in range(6000)))
    assert (response.status, b"MalformedQueryString" in response.body) == (400, True)


async def test_errors_that_repeat_what_xml_cannot_carry_stay_readable(sqs: SqsClient) -> None:
    response = await post(sqs, "/", form({"Action": "\x00\x08<&\ufffe"}))
    assert ElementTree.fromstring(response.body)[0].findtext("{*}Code") == "InvalidAction"
