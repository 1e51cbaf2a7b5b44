"""Traces of a server with OpenTelemetry: a span for each request, within it one for each operation.

Names follow OpenTelemetry's semantic conventions for HTTP and messaging. A request continues the trace its header
``traceparent`` names (W3C Trace Context). A message that is sent within a trace carries on where it comes from, as the
system attribute ``traceparent``, unless its sender gave it one; a receive links to the sending of what it found.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from penstock.broker.contract import Broker
from penstock.core.errors import PenstockError
from penstock.core.messages import Attribute, Draft
from penstock.core.operations import Operation, Receive, ReceiveReply, Send, Settle
from penstock.server.watching import Answered, shown
from penstock.wire.http import Request

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Reply = TypeVar("Reply")

TRACE_PARENT = "traceparent"
_CARRIED = (TRACE_PARENT, "tracestate")
_VERBS: dict[type, str] = {Send: "send", Receive: "receive", Settle: "settle"}
_propagator = TraceContextTextMapPropagator()


class RequestSpans:
    """A watcher that makes a span of each request.

    Args:
        tracer: makes spans.
    """

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer

    @contextmanager
    def around(self, request: Request) -> Iterator[Answered]:
        answered = Answered()
        parent = _propagator.extract(_carrier(request.headers), context=contexts.Context())
        with self._tracer.start_as_current_span(
            request.method[:20],
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": request.method[:20],
                "url.path": shown(request.path),
                "url.scheme": request.scheme,
                "client.address": request.source_ip,
                "penstock.request_id": request.request_id,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield answered
            finally:
                span.set_attribute("http.response.status_code", answered.status)
                if request.action:
                    span.update_name(request.action)  # what SQS calls it says more than POST
                    span.set_attribute("rpc.method", request.action)
                if answered.status >= 500:
                    span.set_status(trace.StatusCode.ERROR)
                    span.set_attribute("error.type", str(answered.status))


class Traced:
    """Performs operations through another broker, with a span for each that belongs to a request.

    Args:
        broker: performs them; closed with this one.
        tracer: makes spans.
    """

    def __init__(self, broker: Broker, tracer: "Tracer") -> None:
        self._broker = broker
        self._tracer = tracer

    async def perform(self, operation: Operation[Reply]) -> Reply:
        if not trace.get_current_span().is_recording():
            return await self._broker.perform(operation)
        kind = type(operation)
        verb, queue = _VERBS.get(kind, kind.__name__), getattr(operation, "queue", None)
        with self._tracer.start_as_current_span(
            f"{verb} {queue}" if queue else verb,
            attributes=_attributes(operation, verb, queue),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                reply: Reply = await self._broker.perform(_stamped(operation))
            except BaseException as error:
                _failed(span, error)
                raise
            if isinstance(reply, ReceiveReply):
                span.set_attribute("messaging.batch.message_count", len(reply.deliveries))
                for delivery in reply.deliveries:
                    _link(span, delivery.system_attributes)
            return reply

    async def aclose(self) -> None:
        await self._broker.aclose()


def _attributes(operation: Any, verb: str, queue: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"messaging.system": "penstock", "messaging.operation.name": verb}
    if queue:
        found["messaging.destination.name"] = queue
    if isinstance(operation, Send):
        found["messaging.batch.message_count"] = len(operation.messages)
    elif isinstance(operation, Settle):
        found["messaging.batch.message_count"] = len(operation.settlements)
    return found


def _failed(span: "Span", error: BaseException) -> None:
    is_ours = not isinstance(error, PenstockError) or error.fault == "server"
    span.set_attribute("error.type", error.code if isinstance(error, PenstockError) else type(error).__qualname__)
    if is_ours and isinstance(error, Exception):
        span.set_status(trace.StatusCode.ERROR)


def _stamped(operation: Any) -> Any:
    """Return a send whose messages carry the present span, and anything else as it is."""
    if not isinstance(operation, Send):
        return operation
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    carried = {name: Attribute("String", value) for name, value in carrier.items()}

    def stamped(draft: Draft) -> Draft:
        if TRACE_PARENT in draft.system_attributes:
            return draft
        return structs.replace(draft, system_attributes={**draft.system_attributes, **carried})

    return structs.replace(operation, messages=tuple(map(stamped, operation.messages)))


def _link(span: "Span", system_attributes: Mapping[str, Attribute]) -> None:
    carrier = {name: each.string_value or "" for name, each in system_attributes.items() if name in _CARRIED}
    if carrier:
        sent = trace.get_current_span(_propagator.extract(carrier, context=contexts.Context())).get_span_context()
        if sent.is_valid:
            span.add_link(sent)


def _carrier(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    found = ((name, headers.get(name.encode())) for name in _CARRIED)
    return {name: value.decode("latin-1") for name, value in found if value is not None}
