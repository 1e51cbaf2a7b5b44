"""One HTTP server on one broker: put together, started, drained."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

from penstock.broker.contract import Broker
from penstock.broker.observed import Observed
from penstock.broker.system import SystemClock
from penstock.core.clock import Clock
from penstock.core.errors import QueueConflict, QueueNotFound
from penstock.server.access import Access
from penstock.server.auth import Gate
from penstock.server.browsers import Browsers
from penstock.server.dialects import Dialects
from penstock.server.dispatch import Dispatch
from penstock.server.health import Health
from penstock.server.listener import Listener
from penstock.server.metrics import Counting, Metrics
from penstock.server.mounts import Mount, Page
from penstock.server.options import ServerOptions
from penstock.server.siblings import Siblings


class Server:
    """Serves a broker over HTTP. Make it on the event loop it will run on.

    Args:
        broker: performs the operations; left open when the server stops.
        options: how to serve.
        check_store: raises PenstockError when the store cannot be written.
        waiting_count: how many long polls the broker holds.
        clock: tells the ages of messages. Signatures are checked against the machine's clock in any case.
        mounts: what to serve besides.
        siblings: the processes that serve the same port; ``None``: there are no others.

    Raises:
        OSError: the TLS files cannot be used.
    """

    def __init__(
        self,
        broker: Broker,
        options: ServerOptions,
        *,
        check_store: Callable[[], Awaitable[None]],
        waiting_count: Callable[[], int],
        clock: Clock | None = None,
        mounts: Sequence[Mount] = (),
        siblings: Siblings | None = None,
    ) -> None:
        counting = Counting()
        self._broker = Observed(broker, counting)
        self._options = options
        self._health = Health(check_store)
        self._dialects = Dialects(options, mounts)
        clock = clock or SystemClock()
        metrics = Metrics(broker, counting, waiting_count, clock, siblings)
        access = Access(self._broker, account=options.account, region=options.region, now_ms=clock.now_ms)
        open_pages: dict[str, Page] = {"/health/live": self._health.live, "/health/ready": self._health.ready}
        for mount in mounts:
            open_pages.update(mount.pages)
        self._dispatch = Dispatch(
            self._broker,
            self._dialects,
            Gate(options.keys, account=options.account, region=options.region),
            access if options.keys else None,
            None if options.keys else Browsers(options),
            open_pages=open_pages,
            closed_pages={"/metrics": metrics.page},
        )
        self._listener = Listener(self._dispatch, options)
        self.port = options.port

    async def start(self, inherited: Sequence[socket.socket] = ()) -> None:
        """Begin to listen, or use sockets that do. Raises OSError when the address cannot be had."""
        home = self._dialects.home_queue_at_root()
        if home is not None:
            with contextlib.suppress(QueueConflict):  # it is there, with settings of somebody's choice
                await self._broker.perform(home)
        for update in self._dialects.home_queue_updates():
            with contextlib.suppress(QueueNotFound):  # it is made with these settings when it is first used
                await self._broker.perform(update)
        self.port = await self._listener.start(inherited)

    async def stop(self) -> None:
        """Accept no more, answer long polls at once, let the requests under way finish, close the connections."""
        self._health.is_draining = True
        self._dispatch.long_polls.drain()
        await self._listener.stop()

    @property
    def url(self) -> str:
        """Where the server is reached from this machine."""
        scheme = "http" if self._options.tls_certificate is None else "https"
        host = self._options.host
        if host in ("", "0.0.0.0", "::"):
            host = "localhost"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"
