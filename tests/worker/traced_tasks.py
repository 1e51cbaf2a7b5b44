"""An app whose tasks run in processes and are traced: each process writes the spans that it ends into one file."""

import json
import os
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from penstock import Penstock, Tracing


class ToFile(SpanExporter):
    """Appends a line for each span to the file that TRACED_SPANS names."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with open(os.environ["TRACED_SPANS"], "a") as file:
            for span in spans:
                parent = span.parent.span_id if span.parent is not None else None
                context = span.get_span_context()
                said = {"name": span.name, "trace": context.trace_id, "id": context.span_id, "parent": parent}
                file.write(json.dumps({**said, "pid": os.getpid()}) + "\n")
        return SpanExportResult.SUCCESS


provider = TracerProvider()
# as in production: spans are gathered, and what is left is sent when the process ends
provider.add_span_processor(BatchSpanProcessor(ToFile(), schedule_delay_millis=600_000))

app = Penstock("sqlite:///nowhere/replaced-by-tests.db", middleware=[Tracing(provider)])


@app.task(runs_in="process")
def apart() -> int:
    with trace.get_tracer("test", tracer_provider=provider).start_as_current_span("inside"):
        return os.getpid()
