"""A server in a thread of this process: started in milliseconds, emptied, moved on in time, stopped.

A thread rather than a process, because a process takes half a second to start; see docs/testing.md.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cached_property
from importlib import import_module
from typing import Any, TypeVar

import uvloop

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.broker.sweeping import Sweeping
from penstock.console import MOUNT, Console
from penstock.core.operations import DeleteQueue, DeleteRecords, FindRecords, ListQueues
from penstock.server.mounts import Mount
from penstock.server.options import Key, ServerOptions
from penstock.server.server import Server
from penstock.store import open_store
from penstock.testing.leaping import LeapingClock
from penstock.testing.patience import WithoutCoolDowns

ANY_KEY = ("test", "test")
"""What clients sign with where everybody may call."""

_PATIENCE_SECONDS = 30
_DRAIN_SECONDS = 2
_RECORDS_AT_ONCE = 1000

T = TypeVar("T")


class RunningServer:
    """A server that runs from the moment it is made until ``stop``. All methods may be called from any thread.

    Args:
        store, cool_downs, keys, options: as of ``penstock.testing.server``.
    """

    def __init__(
        self, store: str = "memory://", *, cool_downs: bool, keys: dict[str, str], options: dict[str, Any]
    ) -> None:
        allowed = tuple(Key(key, secret, options.get("account", "000000000000")) for key, secret in keys.items())
        self._options = ServerOptions(**{"port": 0, "drain_seconds": _DRAIN_SECONDS, **options, "keys": allowed})
        self._store_url = store
        self._has_cool_downs = cool_downs
        self._key = next(iter(keys.items()), ANY_KEY)
        self._made: list[Any] = []
        started: Future[tuple[asyncio.AbstractEventLoop, Server, Broker]] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="penstock-testing", daemon=True)
        self._thread.start()
        try:
            self._loop, self._server, self._broker = started.result(_PATIENCE_SECONDS)
        except BaseException:
            self._thread.join(_PATIENCE_SECONDS)
            raise

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """What clients take as ``endpoint_url``, such as ``http://127.0.0.1:43210``."""
        return self._server.url

    @property
    def region(self) -> str:
        """The AWS region of its queues."""
        return self._options.region

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make AWS clients of a process call this server for SQS without being told in code."""
        return {
            "AWS_ENDPOINT_URL_SQS": self.url,
            "AWS_ACCESS_KEY_ID": self._key[0],
            "AWS_SECRET_ACCESS_KEY": self._key[1],
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }

    def client(self, **more: Any) -> Any:
        """Return a new boto3 client for SQS that calls this server, closed when the server stops.

        Args:
            more: further arguments of ``boto3.client``, such as ``config``.

        Raises:
            ModuleNotFoundError: boto3 is not installed.
        """
        return self._boto3("client", more)

    def resource(self, **more: Any) -> Any:
        """Return the same as a boto3 resource."""
        return self._boto3("resource", more)

    # -- what tests do to it -------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Delete all queues, with their messages, and all records. Their names can be used again at once."""
        self._do(self._reset())

    def advance(self, seconds: float) -> None:
        """Let time pass for the server at once: leases end, delays are over, what is too old is gone.

        What is due by then has happened when this returns, or is about to.
        """
        self._do(self._advance(seconds))

    def stop(self) -> None:
        """Stop serving and close the store; messages in a file stay there. Stopping twice is harmless."""
        for each in self._made:
            each.close()
        self._made.clear()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._asked_to_stop.set)
            self._thread.join(_PATIENCE_SECONDS)

    # -- in the thread -------------------------------------------------------------------------------------------------

    def _run(self, started: "Future[tuple[asyncio.AbstractEventLoop, Server, Broker]]") -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self._serve(started))
            except BaseException as error:
                if started.done():
                    raise
                started.set_exception(error)

    async def _serve(self, started: "Future[tuple[asyncio.AbstractEventLoop, Server, Broker]]") -> None:
        self._asked_to_stop = asyncio.Event()
        self._clock = LeapingClock()
        store = await open_store(self._store_url)
        local = LocalBroker(store, self._clock)
        broker: Broker = Sweeping(local, store, self._clock)
        console = Console(broker, self._clock)
        try:
            server = Server(
                console.broker if self._has_cool_downs else WithoutCoolDowns(console.broker),
                self._options,
                check_store=store.check,
                waiting_count=lambda: local.waiting_count,
                clock=self._clock,
                mounts=(Mount("console", console.dialect, console.pages, home=MOUNT),),
            )
            await server.start()
            console.start()
            started.set_result((asyncio.get_running_loop(), server, broker))
            await self._asked_to_stop.wait()
            await server.stop()
        finally:
            await console.aclose()
            await broker.aclose()

    async def _reset(self) -> None:
        while queues := (await self._broker.perform(ListQueues())).queues:
            await asyncio.gather(*(self._broker.perform(DeleteQueue(queue.name)) for queue in queues))
        while records := (await self._broker.perform(FindRecords(limit=_RECORDS_AT_ONCE))).records:
            await self._broker.perform(DeleteRecords(tuple(record.key for record in records)))

    async def _advance(self, seconds: float) -> None:
        self._clock.leap(seconds)

    # -- how it is done ------------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something on the server's loop, and return what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)

    @cached_property
    def _boto3_session(self) -> Any:
        """One session for all clients: reading the description of SQS takes longer than starting the server."""
        return import_module("boto3.session").Session(
            aws_access_key_id=self._key[0], aws_secret_access_key=self._key[1], region_name=self.region
        )

    def _boto3(self, kind: str, more: dict[str, Any]) -> Any:
        made = getattr(self._boto3_session, kind)("sqs", **{"endpoint_url": self.url, **more})
        self._made.append(made if kind == "client" else made.meta.client)
        return made
