"""Schemathesis reads our description and asks a real server everything it allows, and much that it does not."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from penstock.client.http import HttpBroker
from penstock.core.operations import CreateQueue
from penstock.store.sqlite import SqliteStore
from penstock.wire.rest.openapi import document
from tests.support.server import running_server

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    negative_data_rejection,
    unsupported_method,
]

QUEUE = "fuzzed"


class _ServerThread:
    """A server on an event loop of its own: schemathesis blocks."""

    def __init__(self, path: Path) -> None:
        self.url = ""
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        store = await SqliteStore.open(self._path, durability="os")
        async with running_server(store) as url:
            self.url = url
            broker = HttpBroker(url)
            await broker.perform(CreateQueue(QUEUE))
            await broker.aclose()
            self._is_up.set()
            await self._stop.wait()
        await store.aclose()

    def start(self) -> None:
        self._thread.start()
        assert self._is_up.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = _ServerThread(tmp_path_factory.mktemp("fuzzed") / "penstock.db")
    server.start()
    yield server.url
    server.stop()


SCHEMA = schemathesis.openapi.from_dict(msgspec.to_builtins(document("/v1")))
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
# any text fits a path: what is described by nothing else cannot be asked wrongly
REFUSABLE = [each for each in OPERATIONS if len(each.body) or len(each.query)]
THOROUGHLY = settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_what_is_described_is_served(server_url: str, operation: Any) -> None:
    @THOROUGHLY
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def check(case: Any) -> None:
        if "queue" in case.path_parameters and operation.label != "DELETE /v1/queues/{queue}":
            case.path_parameters["queue"] = QUEUE
        if isinstance(case.body, dict) and type(case.body.get("wait_seconds")) in (int, float):
            case.body["wait_seconds"] = 0
        case.call_and_validate(base_url=server_url, checks=CHECKS)

    check()


@pytest.mark.parametrize("operation", REFUSABLE, ids=lambda operation: operation.label)
def test_what_is_not_described_is_refused(server_url: str, operation: Any) -> None:
    @THOROUGHLY
    @given(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def check(case: Any) -> None:
        case.call_and_validate(base_url=server_url, checks=CHECKS)

    check()
