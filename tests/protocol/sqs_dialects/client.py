"""A client of the SQS dialects without sockets: parameters and answers as botocore has them, in either protocol."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus
from xml.etree import ElementTree

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.core.operations import Receive
from penstock.store.contract import Store
from penstock.testing import ManualClock
from penstock.wire.http import Dialect, Request, Response
from penstock.wire.sqs import SqsJson, SqsOptions, SqsQuery
from tests.protocol.support import Driver
from tests.support.turns import until

PROTOCOLS = ("json", "query")
ACCOUNT, REGION, HOST = "000000000000", "us-east-1", "localhost:3000"
REQUEST_ID = "00000000-0000-4000-8000-000000000000"
NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"

_LISTS = {
    "AttributeNames": "AttributeName",
    "MessageSystemAttributeNames": "MessageSystemAttributeName",
    "MessageAttributeNames": "MessageAttributeName",
    "TagKeys": "TagKey",
    "AWSAccountIds": "AWSAccountId",
    "Actions": "ActionName",
}
_MAPS = {
    "Attributes": ("Attribute", "Name", "Value"),
    "MessageAttributes": ("MessageAttribute", "Name", "Value"),
    "MessageSystemAttributes": ("MessageSystemAttribute", "Name", "Value"),
    "Tags": ("Tag", "Key", "Value"),
    "tags": ("Tag", "Key", "Value"),
}
_NUMBERS = (
    "ApproximateNumberOfMessagesMoved",
    "ApproximateNumberOfMessagesToMove",
    "MaxNumberOfMessagesPerSecond",
    "StartedTimestamp",
)


class Failed(Exception):
    """An error answer: the code of the Query protocol, what ``__type`` said after the #, message and status."""

    def __init__(self, code: str, shape: str, message: str, status: int, fault: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.shape, self.message, self.status, self.fault = code, shape, message, status, fault


class SqsClient:
    """Asks one dialect on one store."""

    def __init__(
        self,
        protocol: str,
        broker: LocalBroker,
        store: Store,
        clock: ManualClock,
        options: SqsOptions | None = None,
        account: str = ACCOUNT,
        region: str = REGION,
    ) -> None:
        self.protocol, self.broker, self.store, self.clock = protocol, broker, store, clock
        self.options = options or SqsOptions()
        self.account, self.region = account, region
        self.dialect: Dialect = SqsJson(self.options) if protocol == "json" else SqsQuery(self.options)
        self.driver = Driver(self.dialect, broker)

    def like(
        self, *, limits: Any = None, account: str | None = None, region: str | None = None, **options: Any
    ) -> "SqsClient":
        """Return a client of the same store with other options or on behalf of somebody else."""
        return SqsClient(
            self.protocol,
            self.broker,
            self.store,
            self.clock,
            SqsOptions(limits=limits or self.options.limits, **options),
            account or self.account,
            region or self.region,
        )

    async def __call__(self, action: str, headers: Mapping[str, str] | None = None, **parameters: Any) -> Any:
        """Perform an action; return its answer. Raises Failed."""
        return self.read(action, await self.raw(self.request(action, parameters, headers or {})))

    async def failure(self, action: str, **parameters: Any) -> Failed | None:
        """Return how an action fails, ``None`` if it does not."""
        try:
            await self(action, **parameters)
        except Failed as failed:
            return failed
        return None

    async def raw(self, request: Request) -> Response:
        """Answer a request."""
        return await self.driver.ask(request)

    def request(self, action: str, parameters: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
        """Return an action as a request in this client's protocol."""
        known = {b"host": HOST.encode(), **{name.lower().encode(): text.encode() for name, text in headers.items()}}
        if self.protocol == "json":
            known |= {b"x-amz-target": f"AmazonSQS.{action}".encode(), b"content-type": b"application/x-amz-json-1.0"}
            body = json.dumps(parameters, default=lambda value: base64.b64encode(value).decode()).encode()
        else:
            known[b"content-type"] = b"application/x-www-form-urlencoded; charset=utf-8"
            body = form({"Action": action, "Version": "2012-11-05", **flat(action, parameters)})
        return Request("POST", "/", b"", known, body, "http", self.account, self.region, REQUEST_ID)

    def read(self, action: str, response: Response) -> Any:
        """Return what a response says. Raises Failed."""
        headers = dict(response.headers)
        assert headers[b"x-amzn-requestid"] == REQUEST_ID.encode()
        if self.protocol == "query":
            assert headers[b"content-type"] == b"text/xml"
            return _read_xml(action, response)
        assert headers[b"content-type"] == b"application/x-amz-json-1.0"
        answer = json.loads(response.body)
        if response.status != 200:
            code, _, fault = headers[b"x-amzn-query-error"].decode().partition(";")
            raise Failed(code, answer["__type"].rpartition("#")[2], answer["message"], response.status, fault)
        for message in answer.get("Messages", ()):
            for value in message.get("MessageAttributes", {}).values():
                if "BinaryValue" in value:
                    value["BinaryValue"] = base64.b64decode(value["BinaryValue"])
        return answer

    # -- shorthands --------------------------------------------------------------------------------------------------

    async def create(self, name: str = "queue", tags: Mapping[str, str] | None = None, **attributes: str) -> str:
        """Create a queue, return its URL."""
        if name.endswith(".fifo"):
            attributes.setdefault("FifoQueue", "true")
        parameters: dict[str, Any] = {"QueueName": name}
        if attributes:
            parameters["Attributes"] = attributes
        if tags:
            parameters["tags"] = tags
        url: str = (await self("CreateQueue", **parameters))["QueueUrl"]
        return url

    async def send(self, url: str, body: str = "hello", **parameters: Any) -> Any:
        """Send a message."""
        return await self("SendMessage", QueueUrl=url, MessageBody=body, **parameters)

    async def receive(self, url: str, count: int = 10, **parameters: Any) -> list[Any]:
        """Receive messages, a moment after what happened before: a visibility timeout of 0 lasts a millisecond."""
        self.clock.advance(0.001)
        answer = await self("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=count, **parameters)
        return answer.get("Messages", [])  # type: ignore[no-any-return]

    async def one(self, url: str, **parameters: Any) -> Any:
        """Receive the only message there is."""
        (message,) = await self.receive(url, **parameters)
        return message

    async def attributes(self, url: str, *names: str) -> dict[str, str]:
        """Return attributes of a queue, all unless some are named."""
        answer = await self("GetQueueAttributes", QueueUrl=url, AttributeNames=list(names or ("All",)))
        return answer.get("Attributes", {})  # type: ignore[no-any-return]

    async def counts(self, url: str) -> tuple[int, int, int]:
        """Return how many messages are visible, in flight and delayed."""
        found = await self.attributes(url)
        names = ("", "NotVisible", "Delayed")
        return tuple(int(found[f"ApproximateNumberOfMessages{name}"]) for name in names)  # type: ignore[return-value]

    async def arn(self, url: str) -> str:
        """Return the ARN of a queue."""
        return (await self.attributes(url, "QueueArn"))["QueueArn"]

    async def until_polling(self, count: int = 1) -> None:
        """Return when so many long polls wait."""
        await until(lambda: self.broker.waiting_count == count, f"{count} long polls wait")

    async def step_moves(self) -> None:
        """Let move tasks take a step, as the upkeep of a server does."""
        ids = [f"00000000-0000-4000-9000-{self.clock.now_ms() % 10**9:09d}{number:03d}" for number in range(100)]
        await self.store.step_moves(ids, self.clock.now_ms())


class Impatient:
    """Performs operations, but waits for nothing."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def perform(self, operation: Any) -> Any:
        if isinstance(operation, Receive):
            operation = Receive(operation.queue, operation.max_messages, 0, operation.visibility_timeout_seconds)
        return await self._broker.perform(operation)

    async def aclose(self) -> None:
        await self._broker.aclose()


def form(parameters: Mapping[str, str]) -> bytes:
    """Return parameters as a form."""
    return "&".join(f"{quote_plus(name)}={quote_plus(text)}" for name, text in parameters.items()).encode()


def flat(action: str, parameters: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Return parameters as the Query protocol names them."""
    found: dict[str, str] = {}
    for name, value in parameters.items():
        if isinstance(value, list):
            element = _LISTS.get(name) or f"{action}RequestEntry"
            for number, item in enumerate(value, 1):
                found |= _flat_item(action, item, f"{path}{element}.{number}")
        elif isinstance(value, dict) and name in _MAPS:
            element, key_name, value_name = _MAPS[name]
            for number, (key, item) in enumerate(value.items(), 1):
                found[f"{path}{element}.{number}.{key_name}"] = key
                found |= _flat_item(action, item, f"{path}{element}.{number}.{value_name}")
        else:
            found |= _flat_item(action, value, path + name)
    return found


def _flat_item(action: str, value: Any, path: str) -> dict[str, str]:
    if isinstance(value, dict):
        return flat(action, value, path + ".")
    return {path: base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)}


def _read_xml(action: str, response: Response) -> Any:
    root = ElementTree.fromstring(response.body)
    if response.status != 200:
        assert root.tag == f"{NAMESPACE}ErrorResponse"
        assert root.findtext(f"{NAMESPACE}RequestId") == REQUEST_ID
        told = {child.tag.removeprefix(NAMESPACE): child.text or "" for child in root[0]}
        raise Failed(told["Code"], told["Code"], told["Message"], response.status, told["Type"])
    assert root.tag == f"{NAMESPACE}{action}Response"
    assert root.findtext(f"{NAMESPACE}ResponseMetadata/{NAMESPACE}RequestId") == REQUEST_ID
    result = root.find(f"{NAMESPACE}{action}Result")
    return {} if result is None else _members(action, result)


def _members(action: str, element: ElementTree.Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        tag = child.tag.removeprefix(NAMESPACE)
        for name, (entry, key_name, value_name) in _MAPS.items():
            if tag == entry and name != "tags":
                key = child.findtext(NAMESPACE + key_name) or ""
                value = child.find(NAMESPACE + value_name)
                assert value is not None
                found.setdefault(name, {})[key] = _members(action, value) if len(value) else value.text or ""
                break
        else:
            _put(action, found, tag, child)
    return found


def _put(action: str, found: dict[str, Any], tag: str, child: ElementTree.Element) -> None:
    lists = {
        "Message": "Messages",
        f"{action}ResultEntry": "Results" if action == "ListMessageMoveTasks" else "Successful",
        "BatchResultErrorEntry": "Failed",
    }
    if tag == "QueueUrl" and action.startswith("List"):
        found.setdefault("QueueUrls" if action == "ListQueues" else "queueUrls", []).append(child.text)
    elif tag in lists and len(child):
        found.setdefault(lists[tag], []).append(_members(action, child))
    elif tag in _NUMBERS:
        found[tag] = int(child.text or "")
    elif tag == "BinaryValue":
        found[tag] = base64.b64decode(child.text or "")
    elif tag == "SenderFault":
        found[tag] = child.text == "true"
    else:
        found[tag] = child.text or ""
