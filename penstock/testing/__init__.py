"""For tests: a clock that obeys, a real server in the process of the test, apps whose jobs run when it says so.

Light on purpose: neither pytest nor the server is imported before something asks for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from penstock.testing.clock import ManualClock

if TYPE_CHECKING:
    from penstock.testing.jobs import AppUnderTest as AppUnderTest
    from penstock.testing.jobs import WaitingAppUnderTest as WaitingAppUnderTest
    from penstock.testing.jobs import app_under_test as app_under_test
    from penstock.testing.jobs import fast_forward as fast_forward
    from penstock.testing.jobs import run_until_idle as run_until_idle
    from penstock.testing.running import RunningServer

_OF_JOBS = ("AppUnderTest", "WaitingAppUnderTest", "app_under_test", "fast_forward", "run_until_idle")

__all__ = ["ManualClock", "server", *_OF_JOBS]


def __getattr__(name: str) -> Any:
    if name in _OF_JOBS:
        from penstock.testing import jobs

        return getattr(jobs, name)
    raise AttributeError(f"module 'penstock.testing' has no attribute {name!r}")


@contextmanager
def server(
    store: str = "memory://", *, cool_downs: bool = False, keys: dict[str, str] | None = None, **options: Any
) -> Iterator["RunningServer"]:
    """Run a server on a free port of this machine, in a thread of this process.

    Args:
        store: the URL of the store, such as ``memory://`` or ``sqlite:///queues.db``.
        cool_downs: whether, as on AWS, a queue can be purged only once in 60 seconds, and the name of a deleted queue
            cannot be used for 60 seconds. Without them a test need not wait.
        keys: access key ids and their secrets. With any, callers have to sign as on AWS; without, everybody may call.
        options: further ``penstock.server.options.ServerOptions``, such as ``limits="relaxed"`` or ``port=4566``.

    Raises:
        OSError: the port is taken.
        PenstockError: the store cannot be used.
    """
    from penstock.testing.running import RunningServer

    running = RunningServer(store, cool_downs=cool_downs, keys=keys or {}, options=options)
    try:
        yield running
    finally:
        running.stop()
