"""A world whose queues may be of several partitions, on every store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.implementations import STORES, opened
from tests.support.partitioned import implementation
from tests.support.world import World


@pytest.fixture(params=list(STORES))
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(implementation(request.param), tmp_path) as world:
        yield world


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[World]:
    """A world in memory, for what does not depend on the store."""
    async with opened(implementation("memory"), tmp_path) as world:
        yield world
