"""Whatever comes in, a client's mistake is answered as one: never an exception, never a 500, and nothing is harmed."""

import asyncio
import json
from typing import Any
from xml.etree import ElementTree

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.broker.local import LocalBroker
from penstock.store.memory import MemoryStore
from penstock.testing import ManualClock
from penstock.wire.http import Call, Dialect, Request, Response
from penstock.wire.sqs import SqsJson, SqsQuery
from penstock.wire.sqs.actions import ACTIONS
from penstock.wire.sqs.annotations import has_illegal_characters
from penstock.wire.sqs.model import Shape
from penstock.wire.sqs.peek import PEEK_PATH, SqsPeek
from penstock.wire.sqs.xml_answers import escaped
from tests.protocol.sqs_dialects.client import ACCOUNT, REGION, REQUEST_ID, Impatient, SqsClient, form
from tests.protocol.support import Driver

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXTS = st.one_of(
    st.sampled_from(["q", "q.fifo", "/000000000000/q", "1", "-1", "0", "10", "All", "true", "g", "{}", "", "YQ=="]),
    st.text(max_size=20),
)
SCALARS = st.one_of(TEXTS, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
NAMES = sorted(
    {name for kind in Shape.__subclasses__() for name in kind.__struct_encode_fields__}
    | {"SendMessageBatchRequestEntry", "AttributeName", "Attribute", "Tag", "Name", "Value", "Key", "TagKey", "Label"}
)
KEYS = st.lists(st.one_of(st.sampled_from(NAMES), st.sampled_from(["1", "2", "x", ""])), min_size=1, max_size=5).map(
    ".".join
)


def answer(dialect: Dialect, request: Request) -> Response:
    """Answer a request on a fresh store; a long poll is not waited for."""

    async def run() -> Response:
        store = MemoryStore()
        broker = LocalBroker(store, ManualClock())
        setting_up = SqsClient("json", broker, store, ManualClock())
        await setting_up.create("q")
        await setting_up.create("q.fifo")
        return await Driver(dialect, Impatient(broker)).ask(request)

    response = asyncio.run(run())
    assert response.status < 500, response.body
    assert dict(response.headers)[b"x-amzn-requestid"] == REQUEST_ID.encode()
    return response


def request(path: str, query: bytes, body: bytes, **headers: bytes) -> Request:
    known = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Request("POST", path, query, known, body, "http", ACCOUNT, REGION, REQUEST_ID)


@MANY
@given(st.sampled_from(sorted(ACTIONS)), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
def test_json_of_any_form(action: str, parameters: dict[str, Any]) -> None:
    asked = request("/", b"", json.dumps(parameters).encode(), x_amz_target=f"AmazonSQS.{action}".encode())
    response = answer(SqsJson(), asked)
    json.loads(response.body)


@MANY
@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(sorted(ACTIONS)))
def test_bytes_that_are_no_json(body: bytes, target: bytes, action: str) -> None:
    for each in (target, f"AmazonSQS.{action}".encode()):
        answer(SqsJson(), request("/", b"", body, x_amz_target=each))


@MANY
@given(st.sampled_from(sorted(ACTIONS)), st.dictionaries(KEYS, TEXTS, max_size=10), st.booleans(), st.booleans())
def test_forms_of_any_form(action: str, parameters: dict[str, str], in_query: bool, wants_json: bool) -> None:
    text = {name: value.encode(errors="replace").decode() for name, value in parameters.items()}
    encoded = form({"Action": action, **text})
    headers = {"accept": b"application/json"} if wants_json else {}
    query, body = (encoded, b"") if in_query else (b"", encoded)
    answer(SqsQuery(), request("/", query, body, **headers))


@MANY
@given(st.binary(max_size=80), st.binary(max_size=80), st.text(max_size=30))
def test_bytes_that_are_no_form(query: bytes, body: bytes, path: str) -> None:
    answer(SqsQuery(), request("/" + path, query, body))
    answer(SqsQuery(), request("/" + path, b"Action=SendMessage&" + query, body))


@MANY
@given(st.text(max_size=30), st.dictionaries(st.sampled_from(["QueueUrl", "Action", "ShowDelayed"]), TEXTS))
def test_peeking_anywhere(path: str, parameters: dict[str, str]) -> None:
    text = {name: value.encode(errors="replace").decode() for name, value in parameters.items()}
    answer(SqsPeek(), request(PEEK_PATH + path, form(text), b"", accept=b"application/json"))


@MANY
@given(st.text(max_size=60))
def test_any_text_comes_back_through_xml(text: str) -> None:
    """What SQS accepts as a body must survive the XML of the Query protocol exactly."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return
    back = ElementTree.fromstring(f"<a>{escaped(text)}</a>").text or ""
    assert (back == text) is not has_illegal_characters(text, encoded)


def test_steps_are_calls_or_responses() -> None:
    step = SqsJson().decode(request("/", b"", b"{}", x_amz_target=b"AmazonSQS.ListQueues"))
    assert isinstance(step, Call)
