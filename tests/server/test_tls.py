"""HTTPS by certificate files."""

import json
import ssl
from pathlib import Path

import httpx
import pytest

from penstock.broker.local import LocalBroker
from penstock.core.operations import CreateQueue
from penstock.core.queues import QueueChanges
from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from tests.support.certificates import make_certificate
from tests.support.server import running_server


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    return make_certificate(tmp_path)


async def test_with_certificate_and_key_the_server_speaks_https(certificate: tuple[str, str]) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    async with running_server(MemoryStore(), tls_certificate=certificate[0], tls_key=certificate[1]) as url:
        assert url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(base_url=url, verify=trusting) as http:
            created = await http.post("/", data={"Action": "CreateQueue", "QueueName": "orders"})
            assert f"<QueueUrl>{url}/000000000000/orders</QueueUrl>" in created.text
        async with httpx.AsyncClient(base_url=url.replace("https", "http")) as http:
            with pytest.raises(httpx.TransportError):
                await http.get("/health/live")


async def test_a_policy_may_demand_it(certificate: tuple[str, str]) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    key = Key("AKIDHOME", "the secret of the first account")
    unsafe = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}
    policy = json.dumps({"Statement": {**unsafe, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}})
    store = MemoryStore()
    await LocalBroker(store).perform(CreateQueue("orders", QueueChanges(edge_attributes={"Policy": policy})))
    bearer = {"authorization": f"Bearer {key.access_key_id}:{key.secret}"}
    for tls, status in (({}, 403), (dict(zip(("tls_certificate", "tls_key"), certificate, strict=True)), 200)):
        async with (
            running_server(store, keys=(key,), **tls) as url,
            httpx.AsyncClient(base_url=url, verify=trusting, headers=bearer) as http,
        ):
            assert (await http.post("/v1/queues/orders/receive", json={})).status_code == status


async def test_files_that_do_not_belong_together_are_refused(certificate: tuple[str, str]) -> None:
    with pytest.raises(OSError, match=r"."):
        async with running_server(MemoryStore(), tls_certificate=certificate[0], tls_key=certificate[0]):
            pass
