"""The end of a worker: what runs may end, within a limit; then it is told to, and the rest is given back."""

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("penstock.worker")

LAST_SECONDS = 1.0
"""What jobs have to end by themselves when the limit is over and they are told to."""

GIVE_BACK_SECONDS = 5.0
"""How long giving back may take; what is not given back by then is released when the worker has gone."""

Jobs = set[asyncio.Task[None]]


async def finish(
    jobs: Jobs, stop_all: Callable[[], None], limit_seconds: float | None, is_enough: asyncio.Event
) -> None:
    """Wait until all jobs have ended or were given back.

    Args:
        jobs: what handles each; they leave this set when they end. One that is cancelled gives its job back.
        stop_all: tells all jobs to end.
        limit_seconds: how long they may go on; ``None``: until they end.
        is_enough: set when nothing is to be waited for any longer.
    """
    await _until_ended(jobs, limit_seconds, is_enough)
    if jobs:
        log.warning("%d jobs did not end in time and are given back", len(jobs))
        stop_all()
        await _until_ended(jobs, LAST_SECONDS, is_enough)
    left = list(jobs)
    for job in left:
        job.cancel()
    if left:
        await asyncio.wait(left, timeout=GIVE_BACK_SECONDS)


async def _until_ended(jobs: Jobs, limit_seconds: float | None, is_enough: asyncio.Event) -> None:
    if not jobs:
        return
    ended = asyncio.ensure_future(asyncio.wait(list(jobs)))
    stopped = asyncio.ensure_future(is_enough.wait())
    await asyncio.wait((ended, stopped), timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED)
    for each in (ended, stopped):
        each.cancel()
    await asyncio.gather(ended, stopped, return_exceptions=True)
