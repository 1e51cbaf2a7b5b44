"""One HTTP server on one broker: put together, started, drained."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from penstock.broker.contract import Broker
from penstock.broker.observed import Observed
from penstock.broker.system import SystemClock
from penstock.core.clock import Clock
from penstock.core.errors import QueueConflict, QueueNotFound
from penstock.server.counting import Counting
from penstock.server.dialects import Dialects
from penstock.server.directory.masters import Masters
from penstock.server.dispatch import Dispatch
from penstock.server.entrance import Entrance
from penstock.server.health import Health
from penstock.server.listener import Listener
from penstock.server.metrics import Metrics
from penstock.server.mounts import Mount, Page
from penstock.server.options import ServerOptions
from penstock.server.siblings import Siblings
from penstock.server.watching import AccessLog, Watcher, Watching

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class Server:
    """Serves a broker over HTTP. Make it on the event loop it will run on.

    Args:
        broker: performs the operations; left open when the server stops.
        options: how to serve.
        check_store: raises PenstockError when the store cannot be written.
        waiting_count: how many long polls the broker holds.
        clock: tells the ages of messages. Signatures are checked against the machine's clock in any case.
        mounts: what to serve besides.
        counting: where to count; with what was counted elsewhere, such as calls of the store.
        masters: what the secrets of the store's keys are derived from; those of the options if not given.
        tracers: what makes spans of requests and operations; without it there are none.
        siblings: the processes that serve the same port; ``None``: there are no others.

    Attributes:
        entrance: whom it lets in.

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
        counting: Counting | None = None,
        masters: Masters | None = None,
        tracers: "TracerProvider | None" = None,
        siblings: Siblings | None = None,
    ) -> None:
        counting = counting or Counting()
        self._broker: Broker = Observed(broker, counting)
        watchers: list[Watcher] = [AccessLog()] if options.access_log else []
        if tracers is not None:
            from penstock.server.tracing import RequestSpans, Traced

            tracer = tracers.get_tracer("penstock")
            self._broker = Traced(self._broker, tracer)
            watchers.append(RequestSpans(tracer))
        self._options = options
        self._health = Health(check_store)
        clock = clock or SystemClock()
        self.entrance = entrance = Entrance(broker, options, clock, masters)
        self._dialects = Dialects(options, entrance.desk, mounts)
        metrics = Metrics(broker, counting, waiting_count, lambda: len(self._listener.connections), clock, siblings)
        open_pages: dict[str, Page] = {"/health/live": self._health.live, "/health/ready": self._health.ready}
        for mount in mounts:
            open_pages.update(mount.pages)
        self._dispatch = Dispatch(
            self._broker,
            self._dialects,
            entrance,
            open_pages=open_pages,
            closed_pages={"/metrics": metrics.page},
        )
        self._listener = Listener(Watching(self._dispatch, *watchers) if watchers else self._dispatch, options)
        self.port = options.port

    async def start(self, inherited: Sequence[socket.socket] = ()) -> None:
        """Begin to listen, or use sockets that do.

        Raises:
            OSError: the address cannot be had.
            PenstockError: the store cannot be read.
        """
        home = self._dialects.home_queue_at_root()
        if home is not None:
            with contextlib.suppress(QueueConflict):  # it is there, with settings of somebody's choice
                await self._broker.perform(home)
        for update in self._dialects.home_queue_updates():
            with contextlib.suppress(QueueNotFound):  # it is made with these settings when it is first used
                await self._broker.perform(update)
        await self.entrance.open()
        self.port = await self._listener.start(inherited)

    async def stop(self) -> None:
        """Accept no more, answer long polls at once, let the requests under way finish, close the connections."""
        self._health.is_draining = True
        self._dispatch.long_polls.drain()
        await self._listener.stop()
        await self.entrance.aclose()

    @property
    def key_count(self) -> int | None:
        """How many keys there are; ``None``: everybody may call."""
        return self.entrance.key_count

    @property
    def url(self) -> str:
        """Where the server is reached from this machine."""
        scheme = "http" if self._options.tls_certificate is None else "https"
        host = self._options.host
        if host in ("", "0.0.0.0", "::"):
            host = "localhost"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"
