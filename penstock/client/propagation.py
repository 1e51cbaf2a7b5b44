"""The headers that let a server continue the caller's trace (W3C Trace Context)."""

import sys


def trace_headers() -> str:
    """Return header lines; none where nobody traces. OpenTelemetry is used if the program has it, and never loaded."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    lines = f"traceparent: 00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}\r\n"
    state = span.trace_state.to_header()
    return f"{lines}tracestate: {state}\r\n" if state else lines
