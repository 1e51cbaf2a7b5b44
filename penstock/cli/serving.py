"""The server process: put together from settings, run until a signal, drained.

The first SIGTERM or SIGINT drains: no new connections, long polls answered at once, requests under way finished, the
store closed. A second one ends the process at once; what was answered is kept all the same.
"""

import asyncio
import errno
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.broker.sweeping import Sweeping
from penstock.broker.system import SystemClock
from penstock.broker.timed import timed
from penstock.cli import logs
from penstock.cli.exporting import open_provider
from penstock.cli.notifying import Notifying
from penstock.config import Settings, check_exposure
from penstock.console import MOUNT, Console
from penstock.core.errors import PenstockError, QueueConflict
from penstock.core.operations import CreateQueue, UpdateQueue
from penstock.server.counting import Counting
from penstock.server.directory.directory import has_kept_keys
from penstock.server.directory.masters import masters_of
from penstock.server.mounts import Mount
from penstock.server.server import Server
from penstock.server.siblings import Siblings
from penstock.store import examine, open_store, without_password
from penstock.store.contract import Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("penstock.serve")

SECOND_SIGNAL = 130
"""Exit status when a second signal did not wait for the drain."""


class CannotListen(PenstockError):
    """The address cannot be had."""

    code = "cannot_listen"
    fault = "caller"


class Share(Struct, frozen=True, kw_only=True):
    """What one of several processes serves a port with.

    Attributes:
        sockets: that listen on the port.
        siblings: the other processes.
        declares_queues: it is this one that creates the queues of the configuration.
        announce: told what is served where, once it is.
    """

    sockets: tuple[socket.socket, ...]
    siblings: Siblings
    declares_queues: bool
    announce: Callable[[dict[str, str | int]], None]


async def run(settings: Settings, share: Share | None = None) -> None:
    """Serve in this process until a signal comes. Raises PenstockError when it could not start."""
    counting, notifying = Counting(), Notifying()
    tracers = open_provider() if settings.traces == "otlp" else None
    opened = await open_store(settings.store_url)
    store = timed(opened, counting.of_store)
    local = LocalBroker(store)
    broker = Sweeping(local, store)
    console = Console(broker, SystemClock())
    try:
        check_exposure(settings, has_kept_keys=settings.auth is None and await has_kept_keys(local))
        examination = await examine(opened, settings.store_url)
        for concern in examination.concerns:
            log.warning("%s. %s", concern.found, concern.hint)
        server = _server(console.broker, local, store, settings, console, counting, tracers, share)
        if share is None or share.declares_queues:
            await declare_queues(broker, settings)
        await _start(server, settings, () if share is None else share.sockets)
        gc.collect()
        gc.freeze()  # what is loaded now lives as long as the process; the collector need not look at it again
        gc.set_threshold(10_000, 20, 20)  # requests make no cycles: looking for them rarely is enough
        console.start()
        said = _said(server, settings, examination.durability)
        if share is None:
            announce(said, settings)
        else:
            share.announce(said)
        notifying.ready(f"serves {server.url}")
        await _signal()
        notifying.stopping()
        log.info("draining: requests under way are finished; a second signal does not wait")
        await server.stop()
    finally:
        notifying.close()
        await console.aclose()
        await broker.aclose()
        if share is not None:
            share.siblings.stop()
        if tracers is not None:
            await asyncio.to_thread(tracers.shutdown)  # what has not been sent yet is sent now


def _server(
    broker: Broker,
    local: LocalBroker,
    store: Store,
    settings: Settings,
    console: Console,
    counting: Counting,
    tracers: "TracerProvider | None",
    share: Share | None,
) -> Server:
    try:
        return Server(
            broker,
            settings.server_options(),
            check_store=store.check,
            waiting_count=lambda: local.waiting_count,
            mounts=(Mount("console", console.dialect, console.pages, home=MOUNT),),
            counting=counting,
            masters=masters_of(settings.master_keys, settings.store_url),
            tracers=tracers,
            siblings=None if share is None else share.siblings,
        )
    except OSError as error:
        raise CannotListen(
            f"The TLS files cannot be used: {error}.", hint="Check tls_certificate and tls_key."
        ) from None


async def declare_queues(broker: Broker, settings: Settings) -> None:
    """Create the queues of the configuration, or bring those that exist to what it says."""
    for name, changes in settings.queue_changes().items():
        try:
            await broker.perform(CreateQueue(name, changes))
        except QueueConflict:
            await broker.perform(UpdateQueue(name, changes))


async def _start(server: Server, settings: Settings, sockets: Sequence[socket.socket]) -> None:
    try:
        await server.start(sockets)
    except OSError as error:
        raise cannot_listen(error, settings) from None


def cannot_listen(error: OSError, settings: Settings) -> CannotListen:
    """Return what it means that the address cannot be had."""
    address = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return CannotListen(
            f"{address} is taken by another process.", hint="Stop it, or choose another port with --port."
        )
    return CannotListen(f"Cannot listen on {address}: {error}.", hint="Choose --host and --port.")


def _said(server: Server, settings: Settings, durability: str) -> dict[str, str | int]:
    return {
        "url": server.url,
        "store": without_password(settings.store_url),
        "durability": durability,
        "root": settings.dialect,
        "auth": "none" if server.key_count is None else f"{server.key_count} keys",
    }


def announce(said: dict[str, str | int], settings: Settings) -> None:
    """Say on standard output, in one line, what is served where."""
    if logs.is_json(settings.log_format):
        line = json.dumps({"event": "serving", **said})
    else:
        processes = f" · {said['processes']} processes" if "processes" in said else ""
        line = (
            f"Penstock serves {said['url']} · store {said['store']} (durability {said['durability']}) · "
            f"console at /console/ · {said['root']} at the root, REST at /v1, AweQ at /aweq, WQ at /wq · "
            f"auth {said['auth']}{processes}"
        )
    print(line, flush=True)


async def _signal() -> None:
    """Return when the process is asked to stop; from then on asking again ends it at once. SIGHUP asks once, however
    often it comes."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def ask() -> None:
        if asked.is_set():
            sys.stderr.flush()
            os._exit(SECOND_SIGNAL)
        asked.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ask)
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    await asked.wait()
