"""One server for all clients of a test process, one more that asks for keys, and names nobody else uses."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.served import Served, serving

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server as ``penstock serve`` starts it, with free port."""
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="session")
def served_with_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that checks signatures."""
    with serving(tmp_path_factory.mktemp("keys"), key=("AKIAPENSTOCK", "a secret/of+40=characters")) as server:
        yield server


@pytest.fixture
def named() -> Callable[[str], str]:
    """Makes a queue's name unlike all others of the run."""
    number = next(_numbers)
    return lambda name: f"t{number}-{name}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the processes of one test keep their things."""
    return tmp_path
