"""One table carries every operation: what the client asks is what the server understands, and back."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.errors import PenstockError
from penstock.core.operations import Operation, operation_types
from penstock.wire.http import Call
from penstock.wire.rest import Rest, ask, asking
from penstock.wire.rest.routes import ROUTES, reply_type
from tests.protocol.rest_values import values
from tests.protocol.support import request

REST = Rest()
OPERATIONS = st.one_of(*map(values, operation_types()))


def test_every_operation_has_exactly_one_route() -> None:
    routed = [route.asked for route in ROUTES if route.shortcut is None]
    assert sorted(routed, key=repr) == sorted(operation_types(), key=repr)


@given(OPERATIONS)
def test_what_the_client_asks_the_server_understands(operation: Operation[Any]) -> None:
    asked = ask(operation)
    step = REST.decode(request(asked.method, f"/v1{asked.target}", asked.body))
    assert isinstance(step, Call)
    assert step.operation == operation
    assert type(step.operation) is type(operation)


@pytest.mark.parametrize("kind", operation_types(), ids=lambda kind: kind.__name__)
def test_what_the_server_answers_the_client_understands(kind: type[Operation[Any]]) -> None:
    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
    @given(values(kind), values(reply_type(kind)))
    def check(operation: Operation[Any], reply: Any) -> None:
        asked = ask(operation)
        step = REST.decode(request(asked.method, f"/v1{asked.target}", asked.body))
        assert isinstance(step, Call)
        response = step.then(reply)
        assert not isinstance(response, Call)
        assert response.status in (200, 201)
        assert asking(operation).reply(response.body) == reply

    check()


@given(st.binary(max_size=40) | values(dict[str, str]).map(msgspec.json.encode), st.sampled_from(ROUTES))
def test_any_body_is_understood_or_refused(body: bytes, route: Any) -> None:

    target = "/v1" + route.path.replace("{", "").replace("}", "")
    refused = None
    try:
        REST.decode(request(route.method, target, body))
    except PenstockError as error:
        refused = error
    assert refused is None or (refused.fault == "caller" and refused.problem.hint)


def test_a_prefix_may_be_anything() -> None:
    rest = Rest("/deep/down/v1")
    assert isinstance(rest.decode(request("GET", "/deep/down/v1/queues")), Call)
