"""Fixtures of the worker tests: ``under_test`` is an empty app on every implementation, with a manual clock."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.broker.contract import Broker
from penstock.store.contract import Store
from penstock.testing.jobs import AppUnderTest, app_under_test
from penstock.worker import App
from tests.conformance.implementations import COMPARED, EVERY_PAIR, IMPLEMENTATIONS, opened
from tests.support.world import World

USUAL = ("memory", "memory-shards", "sqlite", "redis", "postgres", "http-sqlite")
NAMES = (*USUAL, "redis-shards", "partitions") if EVERY_PAIR else USUAL
ON = tuple({each.name: each for each in (*COMPARED, *IMPLEMENTATIONS) if each.name in NAMES}.values())


async def nowhere() -> Broker:
    raise AssertionError("an app under test opens no broker of its own")


@pytest.fixture(params=ON, ids=lambda each: each.name)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(request.param, tmp_path) as world:
        yield world


@pytest.fixture
async def under_test(world: World) -> AsyncIterator[AppUnderTest]:
    app = App(nowhere, entropy=world.entropy)
    async with app_under_test(app, broker=world.broker, clock=world.clock) as under_test:
        yield under_test


@pytest.fixture
def store(world: World) -> Store:
    """The store behind the broker, for upkeep."""
    return world.store


@pytest.fixture
def app(under_test: AppUnderTest) -> App:
    return under_test.app
