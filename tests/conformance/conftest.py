"""Fixtures of the conformance suite: ``world`` on every implementation, ``near_world`` on those in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.differences import WITH_PARTITIONS
from tests.conformance.implementations import IMPLEMENTATIONS, IN_PROCESS, Implementation, opened
from tests.support.world import World


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if _differs(item)])
    items[:] = [item for item in items if not _differs(item)]


def _differs(item: pytest.Item) -> bool:
    """Return whether a test expects of an implementation what is another with partitions."""
    given = getattr(getattr(item, "callspec", None), "params", {}).values()
    has_partitions = any(isinstance(each, Implementation) and each.has_partitions for each in given)
    return has_partitions and getattr(item, "originalname", "") in WITH_PARTITIONS


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda each: each.name)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(request.param, tmp_path) as world:
        yield world


@pytest.fixture(params=IN_PROCESS, ids=lambda each: each.name)
async def near_world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(request.param, tmp_path) as world:
        yield world
