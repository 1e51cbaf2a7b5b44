"""The AWS Query protocol: the action and its parameters as a form or query string, to ``/`` or to a queue's URL."""

from penstock.core.errors import PenstockError
from penstock.wire.http import Headers, Request, Response, Step
from penstock.wire.sqs.actions import ACTIONS
from penstock.wire.sqs.errors import INVALID_ACTION, UNKNOWN_OPERATION, SqsError, invalid_address, translated
from penstock.wire.sqs.exchange import Edge, Exchange
from penstock.wire.sqs.form import parameters_of, shape_of
from penstock.wire.sqs.limits import SqsOptions
from penstock.wire.sqs.model import Shape
from penstock.wire.sqs.xml_answers import json_answer, json_error, xml_answer, xml_error

_XML = (b"content-type", b"text/xml")
_JSON = (b"content-type", b"application/json")
_ONLY_AT_ROOT = ("CreateQueue", "ListQueues")


class QueryExchange(Exchange, gc=False):
    """A request of the Query protocol under way."""

    def answer(self, result: Shape | None = None) -> Response:
        request = self.request
        render = json_answer if wants_json(request) else xml_answer
        return Response(200, headers_of(request), render(self.action, result, request.request_id))

    def no_queue_there(self) -> SqsError:
        # as recorded of AWS, the words name the address that was called, not the queue URL in the parameters
        return invalid_address(self.edge.base_url(self.request) + self.request.path)


class SqsQuery:
    """The dialect of old SDKs, API Gateway and hand-written clients.

    Args:
        options: the same for all SQS dialects of a server.
    """

    def __init__(self, options: SqsOptions | None = None) -> None:
        self._edge = Edge(options or SqsOptions())

    def decode(self, request: Request) -> Step:
        parameters = parameters_of(request)
        name = parameters.get("Action")
        if not name:
            raise SqsError("The action or operation requested is invalid.", kind=UNKNOWN_OPERATION)
        action = ACTIONS.get(name)
        exchange = QueryExchange(request, self._edge, name)
        if action is None or (name in _ONLY_AT_ROOT and exchange.path_queue_url() is not None):
            raise SqsError(f"The action {name} is not valid for this endpoint.", kind=INVALID_ACTION)
        request.action = name
        return action.perform(shape_of(action.request, parameters, name), exchange)

    def refuse(self, request: Request, error: PenstockError) -> Response:
        told = translated(error, lambda: _queue_named(request))
        if told.kind is UNKNOWN_OPERATION:
            return Response(404, (_XML, request_id_of(request)), b"<UnknownOperationException/>\n")
        render = json_error if wants_json(request) else xml_error
        return Response(told.kind.status, headers_of(request), render(told, request.request_id))


def wants_json(request: Request) -> bool:
    """Return whether a caller would rather have JSON than XML."""
    return b"application/json" in request.headers.get(b"accept", b"")


def headers_of(request: Request) -> Headers:
    """Return the headers of an answer in the form the caller wants."""
    return (_JSON if wants_json(request) else _XML, request_id_of(request))


def request_id_of(request: Request) -> tuple[bytes, bytes]:
    """Return the header that names a request."""
    return (b"x-amzn-requestid", request.request_id.encode())


def _queue_named(request: Request) -> str:
    try:
        url = parameters_of(request).get("QueueUrl")
    except SqsError:
        url = None
    return (url or request.path).rstrip("/").rsplit("/", 1)[-1]
