"""Tracing with OpenTelemetry: from the sender of a job to each of its attempts.

Names follow OpenTelemetry's semantic conventions for messaging: a job is sent with a span "create <task>", of kind
producer, whose context travels with the job; each attempt is a span "process <queue>", of kind consumer.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from msgspec import structs

from penstock.core.errors import InvalidRequest
from penstock.worker.context import JobContext
from penstock.worker.envelope import Envelope
from penstock.worker.middleware import Middleware
from penstock.worker.outcomes import Cancelled, LeaseLost, Retry

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

SCOPE = "penstock"
SYSTEM = {"messaging.system": "penstock"}


class Tracing(Middleware):
    """Middleware that traces jobs: ``Penstock(url, middleware=[Tracing()])``, in senders and in workers.

    Args:
        provider: of tracers; the global one if not given.
        relation: what an attempt is to the sending. ``child``: part of the same trace. ``link``: a trace of its own
            that links to it, better where jobs wait for days.

    Raises:
        InvalidRequest: the package is not installed.
    """

    def __init__(
        self, provider: "TracerProvider | None" = None, *, relation: Literal["child", "link"] = "child"
    ) -> None:
        try:
            import opentelemetry.trace  # noqa: F401
        except ModuleNotFoundError:
            raise InvalidRequest("OpenTelemetry is not there.", hint="pip install 'penstock[otel]'.") from None
        self._provider = provider
        self._relation = relation

    def sending(self, envelope: Envelope) -> Envelope:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        attributes = SYSTEM | {
            "messaging.operation.name": "create",
            "messaging.operation.type": "create",
            "penstock.task": envelope.task,
        }
        span = self._tracer().start_span(f"create {envelope.task}", kind=trace.SpanKind.PRODUCER, attributes=attributes)
        carrier: dict[str, str] = dict(envelope.trace)
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(span))
        span.end()
        return structs.replace(envelope, trace=carrier)

    def attempt(self, job: JobContext) -> AbstractContextManager[None]:
        return self._attempt(job)

    @contextmanager
    def _attempt(self, job: JobContext) -> Iterator[None]:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        sent = TraceContextTextMapPropagator().extract(job.trace)
        sender = trace.get_current_span(sent).get_span_context()
        attributes: dict[str, Any] = SYSTEM | {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": job.queue,
            "messaging.message.id": job.job_id,
            "penstock.task": job.task,
            "penstock.attempt": job.attempt,
        }
        if job.workflow_id is not None:
            attributes["messaging.message.conversation_id"] = job.workflow_id
        with self._tracer().start_as_current_span(
            f"process {job.queue}",
            context=sent if self._relation == "child" else None,
            kind=trace.SpanKind.CONSUMER,
            links=[trace.Link(sender)] if sender.is_valid else (),
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                kind = type(error).__qualname__
                span.set_attribute("error.type", kind)
                if not isinstance(error, Retry | Cancelled | LeaseLost):
                    span.record_exception(error)
                    span.set_status(trace.StatusCode.ERROR, f"{kind}: {error}")
                raise

    def _tracer(self) -> Any:
        from opentelemetry import trace

        return trace.get_tracer(SCOPE, tracer_provider=self._provider)
