"""``sqs``: a client in each protocol on each store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.broker.local import LocalBroker
from penstock.testing import ManualClock
from tests.conformance.implementations import STORES
from tests.protocol.sqs_dialects.client import PROTOCOLS, SqsClient
from tests.support.partitioned import implementation


@pytest.fixture(params=[f"{protocol}-{store}" for protocol in PROTOCOLS for store in STORES])
async def sqs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqsClient]:
    protocol, _, store_name = request.param.partition("-")
    async with implementation(store_name).open_store(tmp_path) as store:
        clock = ManualClock()
        broker = LocalBroker(store, clock)
        yield SqsClient(protocol, broker, store, clock)
