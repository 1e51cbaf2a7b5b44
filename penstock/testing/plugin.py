"""The pytest plugin: a server for the test run, empty for every test; apps under test. pytest finds it by itself."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from penstock import testing

if TYPE_CHECKING:
    from penstock.testing.jobs import WaitingAppUnderTest
    from penstock.testing.running import RunningServer
    from penstock.worker import App


@pytest.fixture(scope="session")
def penstock_options() -> dict[str, Any]:
    """The arguments of ``penstock.testing.server``; override it to choose a store, limits or keys."""
    return {}


@pytest.fixture(scope="session")
def penstock_session_server(penstock_options: dict[str, Any]) -> "Iterator[RunningServer]":
    """A server for the whole test run; queues stay until ``reset``."""
    with testing.server(**penstock_options) as server:
        yield server


@pytest.fixture
def penstock_server(penstock_session_server: "RunningServer") -> "Iterator[RunningServer]":
    """A server without queues. The process is that of the session, whatever the test creates is deleted after it."""
    penstock_session_server.reset()
    yield penstock_session_server
    penstock_session_server.reset()


@pytest.fixture
def penstock_aws(penstock_server: "RunningServer", monkeypatch: pytest.MonkeyPatch) -> "RunningServer":
    """The same, and the environment says so: ``boto3.client("sqs")`` in the code under test calls this server."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in penstock_server.environment.items():
        monkeypatch.setenv(name, value)
    return penstock_server


@pytest.fixture
def penstock_app() -> "Iterator[Callable[[App], WaitingAppUnderTest]]":
    """A function that puts an app under test until the test ends: ``jobs = penstock_app(app)``."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(testing.app_under_test(app))
