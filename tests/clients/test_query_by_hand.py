"""A client of the kind that was written before SDKs: forms and query strings out, XML in, nothing but the standard
library."""

import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

import pytest

from tests.clients.checksums import md5_of_body
from tests.clients.served import PATIENCE_SECONDS, Served

Named = Callable[[str], str]
NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"


class Client:
    """Speaks Query.

    Args:
        endpoint: of the server.
        method: how it calls; parameters go in a form with ``POST``, in the URL with ``GET``.
        at_queue: whether calls about a queue go to the queue's URL rather than name it in ``QueueUrl``.
    """

    def __init__(self, endpoint: str, method: str, at_queue: bool) -> None:
        self._endpoint = endpoint
        self._method = method
        self._at_queue = at_queue

    def __call__(self, action: str, queue_url: str | None = None, **parameters: str) -> ET.Element:
        """Return the root of the answer."""
        parameters = {"Action": action, "Version": "2012-11-05", **{_dotted(k): v for k, v in parameters.items()}}
        url = f"{self._endpoint}/"
        if queue_url is not None and self._at_queue:
            url = queue_url
        elif queue_url is not None:
            parameters["QueueUrl"] = queue_url
        encoded = urlencode(parameters)
        if self._method == "POST":
            request = urllib.request.Request(url, encoded.encode(), method="POST")
        else:
            request = urllib.request.Request(f"{url}?{encoded}")
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            assert answer.headers.get_content_type() == "text/xml"
            root = ET.fromstring(answer.read())
        assert root.tag == f"{NAMESPACE}{action}Response"
        assert text(root, "ResponseMetadata/RequestId") == answer.headers["x-amzn-RequestId"]
        return root

    def error(self, action: str, queue_url: str | None = None, **parameters: str) -> tuple[int, str, str, str]:
        """Return status, type, code and message of a call that must fail."""
        with pytest.raises(urllib.error.HTTPError) as failure:
            self(action, queue_url, **parameters)
        with failure.value as answer:
            root = ET.fromstring(answer.read())
        assert root.tag == f"{NAMESPACE}ErrorResponse"
        assert text(root, "RequestId")
        return answer.code, text(root, "Error/Type"), text(root, "Error/Code"), text(root, "Error/Message")


def text(root: ET.Element, path: str) -> str:
    found = root.find("/".join(NAMESPACE + step for step in path.split("/")))
    assert found is not None, f"no {path} in {ET.tostring(root).decode()}"
    return found.text or ""


def texts(root: ET.Element, path: str) -> list[str]:
    return [found.text or "" for found in root.findall("/".join(NAMESPACE + step for step in path.split("/")))]


def _dotted(name: str) -> str:
    return name.replace("__", ".")


@pytest.fixture(params=["POST", "POST to the queue", "GET", "GET of the queue"])
def sqs(request: pytest.FixtureRequest, served: Served) -> Client:
    return Client(served.url, request.param.partition(" ")[0], "queue" in request.param)


def test_a_message_goes_there_and_back(sqs: Client, served: Served, named: Named) -> None:
    made = sqs("CreateQueue", QueueName=named("hand"), Attribute__1__Name="VisibilityTimeout", Attribute__1__Value="60")
    url = text(made, "CreateQueueResult/QueueUrl")
    assert url == f"{served.url}/000000000000/{named('hand')}"
    assert urlsplit(text(sqs("GetQueueUrl", QueueName=named("hand")), "GetQueueUrlResult/QueueUrl")).path

    body = "a & b < c + d = 100 % ✓"
    sent = sqs(
        "SendMessage",
        url,
        MessageBody=body,
        MessageAttribute__1__Name="colour",
        MessageAttribute__1__Value__DataType="String",
        MessageAttribute__1__Value__StringValue="grün",
    )
    assert text(sent, "SendMessageResult/MD5OfMessageBody") == md5_of_body(body)

    got = sqs("ReceiveMessage", url, AttributeName__1="All", MessageAttributeName__1="All", WaitTimeSeconds="1")
    assert texts(got, "ReceiveMessageResult/Message/Body") == [body]
    assert text(got, "ReceiveMessageResult/Message/MessageId") == text(sent, "SendMessageResult/MessageId")
    assert text(got, "ReceiveMessageResult/Message/MessageAttribute/Name") == "colour"
    assert text(got, "ReceiveMessageResult/Message/MessageAttribute/Value/StringValue") == "grün"
    attributes = dict(
        zip(
            texts(got, "ReceiveMessageResult/Message/Attribute/Name"),
            texts(got, "ReceiveMessageResult/Message/Attribute/Value"),
            strict=True,
        )
    )
    assert attributes["ApproximateReceiveCount"] == "1"

    handle = text(got, "ReceiveMessageResult/Message/ReceiptHandle")
    sqs("ChangeMessageVisibility", url, ReceiptHandle=handle, VisibilityTimeout="0")
    again = sqs("ReceiveMessage", url)
    sqs("DeleteMessage", url, ReceiptHandle=text(again, "ReceiveMessageResult/Message/ReceiptHandle"))
    left = sqs("GetQueueAttributes", url, AttributeName__1="ApproximateNumberOfMessagesNotVisible")
    assert text(left, "GetQueueAttributesResult/Attribute/Value") == "0"
    assert texts(sqs("ReceiveMessage", url), "ReceiveMessageResult/Message") == []


def test_batches_tags_and_lists_are_numbered(sqs: Client, named: Named) -> None:
    made = sqs("CreateQueue", QueueName=named("lists"), Tag__1__Key="team", Tag__1__Value="blue")
    url = text(made, "CreateQueueResult/QueueUrl")
    entries = {}
    for number in range(1, 11):
        entries[f"SendMessageBatchRequestEntry__{number}__Id"] = f"id{number}"
        entries[f"SendMessageBatchRequestEntry__{number}__MessageBody"] = f"body {number}"
    sent = sqs("SendMessageBatch", url, **entries)
    ids = texts(sent, "SendMessageBatchResult/SendMessageBatchResultEntry/Id")
    assert ids == [f"id{number}" for number in range(1, 11)]
    got = sqs("ReceiveMessage", url, MaxNumberOfMessages="10")
    handles = texts(got, "ReceiveMessageResult/Message/ReceiptHandle")
    entries = {}
    for number, handle in enumerate(handles, 1):
        entries[f"DeleteMessageBatchRequestEntry__{number}__Id"] = f"id{number}"
        entries[f"DeleteMessageBatchRequestEntry__{number}__ReceiptHandle"] = handle
    deleted = sqs("DeleteMessageBatch", url, **entries)
    assert len(texts(deleted, "DeleteMessageBatchResult/DeleteMessageBatchResultEntry/Id")) == 10
    tags = sqs("ListQueueTags", url)
    assert (text(tags, "ListQueueTagsResult/Tag/Key"), text(tags, "ListQueueTagsResult/Tag/Value")) == ("team", "blue")
    assert texts(sqs("ListQueues", QueueNamePrefix=named("lists")), "ListQueuesResult/QueueUrl") == [url]


def test_errors_are_xml_with_the_codes_of_aws(sqs: Client, served: Served, named: Named) -> None:
    missing = f"{served.url}/000000000000/{named('missing')}"
    assert sqs.error("SendMessage", missing, MessageBody="x") == (
        400,
        "Sender",
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist for this wsdl version.",
    )
    assert sqs.error("NoSuchAction")[:3] == (400, "Sender", "InvalidAction")
    made = sqs("CreateQueue", QueueName=named("errors"))
    url = text(made, "CreateQueueResult/QueueUrl")
    assert sqs.error("SendMessage", url)[:3] == (400, "Sender", "MissingParameter")
    assert sqs.error("ReceiveMessage", url, MaxNumberOfMessages="11")[:3] == (400, "Sender", "InvalidParameterValue")
    sqs("PurgeQueue", url)
    assert sqs.error("PurgeQueue", url)[:3] == (403, "Sender", "AWS.SimpleQueueService.PurgeQueueInProgress")
