"""What several tests of faults start."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.redis_at_work import StartServer
from tests.support.redis_server import RedisServer


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartServer]:
    """Starts Redis servers of the test's own, with the settings given; they are killed in the end."""
    servers: list[RedisServer] = []

    def start(**settings: Any) -> RedisServer:
        directory = tmp_path / f"redis-{len(servers)}"
        directory.mkdir()
        servers.append(RedisServer(directory, **settings))
        return servers[-1].start()

    yield start
    for server in servers:
        server.kill()
