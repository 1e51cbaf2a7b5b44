"""Tracing: one trace from the sender to every attempt."""

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, Backoff, Retry, Tracing


class Spans:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def finished(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.finished if span.name == name]


@pytest.fixture
def spans() -> Spans:
    return Spans()


def trace_id(span: Any) -> int:
    return int(span.get_span_context().trace_id)


async def test_a_job_is_traced_from_its_sender_to_each_attempt(
    app: App, under_test: AppUnderTest, spans: Spans
) -> None:
    app.middleware = [Tracing(spans.provider)]
    seen = []

    @app.task(name="fragile", backoff=Backoff(first_seconds=1))
    def fragile() -> None:
        seen.append(trace_id(get_current_span()))
        if len(seen) == 1:
            raise ConnectionError("not yet")

    with spans.provider.get_tracer("test").start_as_current_span("request") as request:
        job = await fragile.asend()
    await under_test.run_until_idle(jumps=True)
    (created,) = spans.named("create fragile")
    first, second = spans.named("process default")
    assert {trace_id(span) for span in (request, created, first, second)} == {trace_id(request)}
    assert seen == [trace_id(request)] * 2, "what the task does is part of the trace"
    assert created.parent is not None
    assert created.parent.span_id == request.get_span_context().span_id
    assert (created.kind, first.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    for attempt in (first, second):
        assert attempt.parent is not None
        assert attempt.parent.span_id == created.get_span_context().span_id
        assert attempt.links[0].context.span_id == created.get_span_context().span_id
    assert dict(first.attributes or {}) == {
        "messaging.system": "penstock",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": job.id,
        "penstock.task": "fragile",
        "penstock.attempt": 1,
        "error.type": "ConnectionError",
    }
    assert (first.status.status_code, first.events[0].name) == (StatusCode.ERROR, "exception")
    assert (second.status.status_code, second.events) == (StatusCode.UNSET, ())


async def test_an_attempt_may_be_a_trace_of_its_own_that_links_to_the_sender(
    app: App, under_test: AppUnderTest, spans: Spans
) -> None:
    app.middleware = [Tracing(spans.provider, relation="link")]

    @app.task(name="later")
    async def later() -> None:
        raise Retry("a little later", after=5)

    await later.asend()
    await under_test.run_until_idle()
    (created,) = spans.named("create later")
    (attempt,) = spans.named("process default")
    assert trace_id(attempt) != trace_id(created)
    assert attempt.links[0].context.span_id == created.get_span_context().span_id
    assert attempt.status.status_code is StatusCode.UNSET, "to ask for another attempt is no error"


async def test_a_job_sent_without_tracing_begins_a_trace(app: App, under_test: AppUnderTest, spans: Spans) -> None:
    @app.task(name="plain")
    async def plain() -> None: ...

    await plain.asend()
    app.middleware = [Tracing(spans.provider)]
    await under_test.run_until_idle()
    (attempt,) = spans.finished
    assert (attempt.parent, attempt.links) == (None, ())
