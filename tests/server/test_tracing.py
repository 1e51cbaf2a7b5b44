"""Traces of a server: from the sender through the broker to the worker, and nothing of it where nobody asked."""

import asyncio
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanKind, StatusCode

from penstock.broker.local import LocalBroker
from penstock.client.http import HttpBroker
from penstock.client.propagation import trace_headers
from penstock.core.errors import StoreUnavailable
from penstock.core.messages import Attribute, Draft
from penstock.core.operations import CreateQueue, Peek, Receive, Send
from penstock.store.memory import MemoryStore
from penstock.wire.sqs.checksums import md5_of_attributes
from penstock.worker import App, Tracing
from penstock.worker.engine.options import WorkerOptions
from penstock.worker.engine.worker import Worker
from tests.cli.test_serve import served
from tests.support.server import running_server
from tests.worker.live import PATIENCE_SECONDS, nowhere
from tests.worker.test_tracing import Spans, trace_id

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = 0x0AF7651916CD43DD8448EB211C80319C


async def test_one_trace_leads_from_the_sender_over_the_broker_to_the_worker() -> None:
    spans = Spans()
    async with running_server(MemoryStore(), tracers=spans.provider) as url:
        broker = HttpBroker(url)
        app = App(nowhere, middleware=[Tracing(spans.provider)])

        @app.task(name="greet")
        async def greet() -> str:
            return "hello"

        app.portal.attach(broker)
        worker = Worker(app, broker, WorkerOptions())
        running = asyncio.create_task(worker.run())
        with spans.provider.get_tracer("test").start_as_current_span("checkout") as checkout:
            job = await greet.asend()
        assert await job.result(PATIENCE_SECONDS) == "hello"
        worker.stop()
        await running
        app.portal.detach()
        await broker.aclose()
    (created,), (attempt,) = spans.named("create greet"), spans.named("process default")
    # the first send makes the queue and is repeated
    (sent,) = (
        span
        for span in spans.named("send default")
        if trace_id(span) == trace_id(checkout) and "error.type" not in (span.attributes or {})
    )
    request = next(span for span in spans.finished if sent.parent and span.context.span_id == sent.parent.span_id)
    assert {trace_id(span) for span in (created, attempt, sent, request)} == {trace_id(checkout)}
    assert request.kind is SpanKind.SERVER
    assert request.parent is not None
    assert request.parent.span_id == checkout.get_span_context().span_id
    assert (request.attributes or {})["url.path"] == "/v1/queues/default/messages"
    assert (request.attributes or {})["http.response.status_code"] == 200
    found = [span for span in spans.named("receive default") if span.links]
    assert [link.context.span_id for span in found for link in span.links] == [sent.get_span_context().span_id]


async def test_a_request_continues_the_trace_it_names_and_its_messages_carry_it() -> None:
    spans, store = Spans(), MemoryStore()
    await LocalBroker(store).perform(CreateQueue("orders"))
    async with running_server(store, tracers=spans.provider) as url, httpx.AsyncClient(base_url=url) as http:
        own = {"traceparent": {"string_value": "00-11111111111111111111111111111111-2222222222222222-01"}}
        messages = [{"body": "a"}, {"body": "b", "system_attributes": own}]
        carried = {"traceparent": PARENT, "tracestate": "vendor=1"}
        await http.post("/v1/queues/orders/messages", json={"messages": messages}, headers=carried)
        received = await http.post("/v1/queues/orders/receive", json={"max_messages": 2})
    first, second = (each["system_attributes"] for each in received.json()["deliveries"])
    (sent,) = spans.named("send orders")
    expected = f"00-{TRACE:032x}-{sent.get_span_context().span_id:016x}-01"
    assert first["traceparent"]["string_value"] == expected
    assert first["tracestate"]["string_value"] == "vendor=1"
    assert second["traceparent"] == own["traceparent"], "what the sender says counts more"
    assert trace_id(sent) == TRACE
    (post,) = (span for span in spans.named("POST") if trace_id(span) == TRACE)
    assert post.parent is not None
    assert f"{post.parent.span_id:016x}" == PARENT.split("-")[2]


@pytest.mark.parametrize("header", ["", "garbage", f"00-{'0' * 32}-{'0' * 16}-01", PARENT.replace("00-", "ff-", 1)])
async def test_a_header_that_is_none_begins_a_trace(header: str) -> None:
    spans = Spans()
    async with running_server(MemoryStore(), tracers=spans.provider) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/v1/queues", headers={"traceparent": header})).status_code == 200
    (root,) = spans.named("GET")
    assert root.parent is None


async def test_what_aws_knows_of_tracing_stays_as_it_is_there() -> None:
    spans, store = Spans(), MemoryStore()
    await LocalBroker(store).perform(CreateQueue("orders"))

    async def call(http: httpx.AsyncClient, action: str, **members: Any) -> Any:
        headers = {"x-amz-target": f"AmazonSQS.{action}", "content-type": "application/x-amz-json-1.0"}
        url = {"QueueUrl": f"{http.base_url}/000000000000/orders"}
        return (await http.post("/", json={**url, **members}, headers={**headers, "traceparent": PARENT})).json()

    async with running_server(store, tracers=spans.provider) as url, httpx.AsyncClient(base_url=url) as http:
        header = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
        sent = await call(http, "SendMessage", MessageBody="a", MessageSystemAttributes=header)
        plain = await call(http, "SendMessage", MessageBody="b")
        asked = {"MaxNumberOfMessages": 2, "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        first, second = (await call(http, "ReceiveMessage", **asked))["Messages"]
    kept = {"AWSTraceHeader": Attribute("String", header["AWSTraceHeader"]["StringValue"])}
    assert sent["MD5OfMessageSystemAttributes"] == md5_of_attributes(kept)
    assert "MD5OfMessageSystemAttributes" not in plain
    assert first["Attributes"]["AWSTraceHeader"] == header["AWSTraceHeader"]["StringValue"]
    assert "AWSTraceHeader" not in second["Attributes"]
    assert not [name for each in (first, second) for name in each["Attributes"] if name.lower().startswith("trace")]
    assert "MessageAttributes" not in first
    assert [span.name for span in spans.named("SendMessage")] == ["SendMessage"] * 2, "it is called what SQS calls it"


async def test_failures_of_the_server_are_errors_and_those_of_callers_are_not() -> None:
    class Away(MemoryStore):
        async def send(self, queue: str, drafts: Any, now: int) -> Any:
            raise StoreUnavailable("The disk is full.")

    spans = Spans()
    async with running_server(Away(), tracers=spans.provider) as url, httpx.AsyncClient(base_url=url) as http:
        await http.post("/v1/queues/orders/messages", json={"messages": [{"body": "a"}]})
        await http.get("/v1/queues/nowhere")
    (failed,), (refused,) = spans.named("send orders"), spans.named("DescribeQueue nowhere")
    assert (failed.status.status_code, refused.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert (failed.attributes or {})["error.type"] == "store_unavailable"
    assert (refused.attributes or {})["error.type"] == "queue_not_found"
    assert [span.status.status_code for span in (*spans.named("POST"), *spans.named("GET"))] == [
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]


async def test_without_tracing_messages_are_kept_as_they_were_sent() -> None:
    store = MemoryStore()
    async with running_server(store) as url, httpx.AsyncClient(base_url=url) as http:
        await http.post("/v1/queues", json={"queue": "orders"})
        traced = {"traceparent": PARENT}
        await http.post("/v1/queues/orders/messages", json={"messages": [{"body": "a"}]}, headers=traced)
    (message,) = (await LocalBroker(store).perform(Peek("orders"))).messages
    assert message.system_attributes == {}


async def test_a_traced_broker_leaves_alone_what_belongs_to_no_request() -> None:
    from penstock.server.tracing import Traced

    spans = Spans()
    broker = Traced(LocalBroker(MemoryStore()), spans.provider.get_tracer("test"))
    await broker.perform(CreateQueue("orders"))
    own = {"AWSTraceHeader": Attribute("String", "Root=1")}
    await broker.perform(Send("orders", (Draft("a", system_attributes=own),)))
    (delivery,) = (await broker.perform(Receive("orders"))).deliveries
    assert (delivery.system_attributes, spans.finished) == (own, ())
    assert trace_headers() == "", "and a client says nothing where nobody traces"


def test_a_server_sends_its_traces_to_the_collector_it_is_told(tmp_path: Path) -> None:
    exported: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            exported.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        variables = {
            "PENSTOCK_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        }
        with served(tmp_path, **variables) as server:
            server.http.get("/v1/queues")
            server.http.post("/v1/queues", json={"queue": "orders"}, headers={"traceparent": PARENT})
            assert server.stop() == 0
        collector.shutdown()
    resources = [each for request in exported for each in request.resource_spans]
    attributes = [each for found in resources for each in found.resource.attributes]
    names = {each.value.string_value for each in attributes if each.key == "service.name"}
    spans = [span for found in resources for scope in found.scope_spans for span in scope.spans]
    assert names == {"penstock"}
    assert sorted(span.name for span in spans) == ["CreateQueue orders", "POST"]
    assert {span.trace_id.hex() for span in spans} == {f"{TRACE:032x}"}
