"""Procrastinate on PostgreSQL, flushed to disk; finished jobs are deleted."""

import contextlib
from functools import cache

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException

from bench.jobs import told

app = App(connector=PsycopgConnector(conninfo=told.URL, min_size=1, max_size=10))


@app.task
async def noop() -> None:
    told.ran()


@app.task
async def stamp(sent_ns: int) -> None:
    told.started(sent_ns)


@app.task
def hang() -> None:
    told.hang()


@cache
def _open() -> None:
    app.open()
    with contextlib.suppress(ConnectorException):  # it is there
        app.schema_manager.apply_schema()


def send_stamp(sent_ns: int) -> None:
    _open()
    stamp.defer(sent_ns=sent_ns)


def send() -> None:
    noop.defer()


def send_many(count: int) -> None:
    for start in range(0, count, 1000):
        noop.batch_defer(*[{} for _ in range(min(1000, count - start))])
