"""Fixtures of the worker tests: ``under_test`` is an empty app on every implementation, with a manual clock."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.broker.contract import Broker
from penstock.testing.jobs import AppUnderTest, app_under_test
from penstock.worker import App
from tests.conformance.implementations import IMPLEMENTATIONS, opened

ON = tuple(each for each in IMPLEMENTATIONS if each.name in ("memory", "sqlite", "redis", "http-sqlite"))


async def _nowhere() -> Broker:
    raise AssertionError("an app under test opens no broker of its own")


@pytest.fixture(params=ON, ids=lambda each: each.name)
async def under_test(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AppUnderTest]:
    async with opened(request.param, tmp_path) as world:
        app = App(_nowhere, entropy=world.entropy)
        async with app_under_test(app, broker=world.broker, clock=world.clock) as under_test:
            yield under_test


@pytest.fixture
def app(under_test: AppUnderTest) -> App:
    return under_test.app
