"""Fixtures of the conformance suite: ``world`` on every implementation, ``near_world`` on those in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.implementations import IMPLEMENTATIONS, IN_PROCESS, opened
from tests.support.world import World


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda each: each.name)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(request.param, tmp_path) as world:
        yield world


@pytest.fixture(params=IN_PROCESS, ids=lambda each: each.name)
async def near_world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(request.param, tmp_path) as world:
        yield world
