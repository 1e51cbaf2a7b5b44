"""Where the server's traces go: to a collector, by OTLP over HTTP, as OpenTelemetry's own variables say."""

import os
from typing import TYPE_CHECKING

from penstock.core.errors import InvalidRequest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


def open_provider() -> "TracerProvider":
    """Return what makes spans and sends them, as ``OTEL_*`` in the environment say; to be shut down in the end.

    Raises:
        InvalidRequest: the packages are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            f"Traces need {error.name}, which is not installed.", hint="pip install 'penstock[otel]'.", field="traces"
        ) from None
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "penstock"}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
