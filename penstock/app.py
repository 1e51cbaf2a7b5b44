"""``Penstock``: what users write their tasks against."""

from collections.abc import Sequence

from penstock.broker.contract import Broker
from penstock.broker.system import Entropy
from penstock.connect import open_blocking_broker, open_broker
from penstock.core.clock import Clock
from penstock.worker.app import RESULT_SECONDS, App
from penstock.worker.middleware import Middleware


class Penstock(App):
    """Tasks, and where their jobs wait.

        app = Penstock("sqlite:///jobs.db")

        @app.task
        def add(x: int, y: int) -> int:
            return x + y

        job = add.send(2, 3)

    Args:
        url: of a store (``sqlite:///jobs.db``, ``memory://``) or of a server (``http://host:3000``).
        key: ``<key id>:<secret>``, where the server asks for one.
        name: tells this app from others on the same store; the module that makes it, if not given.
        result_seconds: how long the end of a job and its result are known, unless its task says otherwise.
        middleware: wraps every sending and every attempt, the first outermost.
        clock, entropy: where instants and ids come from; for tests.

    Nothing is opened before it is needed, so an app may be made where its store is away.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        name: str | None = None,
        result_seconds: float = RESULT_SECONDS,
        middleware: Sequence[Middleware] = (),
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        async def connect() -> Broker:
            return await open_broker(self.url, key=self.token, clock=clock)

        super().__init__(
            connect,
            connect_blocking=lambda: open_blocking_broker(self.url, clock=clock),
            name=name,
            clock=clock,
            entropy=entropy,
            result_seconds=result_seconds,
            middleware=middleware,
        )
        self.url = url
        self.token = key

    def relocate(self, url: str, *, key: str | None = None) -> None:
        self.url, self.token = url, key
