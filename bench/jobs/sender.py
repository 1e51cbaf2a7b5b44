"""Sends jobs with one of the modules beside it: ``python -m bench.jobs.sender <module> <what> <count>``.

``one``: one after the other; ``many``: as fast as the library takes many; ``stamps``: one every 20 ms, which tell when
they start. Says how many seconds it took. Nothing but the standard library.
"""

import asyncio
import sys
import time
from importlib import import_module
from typing import Any

_PAUSE_SECONDS = 0.02


def main() -> None:
    """Send what the command line asks for."""
    module = import_module(f"bench.jobs.with_{sys.argv[1]}")
    what, count = sys.argv[2], int(sys.argv[3])
    print(asyncio.run(_asent(module, what, count)) if hasattr(module, "asend") else _sent(module, what, count))


def _sent(module: Any, what: str, count: int) -> float:
    if what == "hang":
        module.send_hang()
        return 0
    module.send_stamp(time.monotonic_ns())  # connects, and makes what is to be made
    began = time.perf_counter()
    if what == "one":
        for _ in range(count):
            module.send()
    elif what == "many":
        module.send_many(count)
    elif what == "threads":
        module.send_many_in_threads(count)
    else:
        for _ in range(count):
            time.sleep(_PAUSE_SECONDS)
            module.send_stamp(time.monotonic_ns())
    return time.perf_counter() - began


async def _asent(module: Any, what: str, count: int) -> float:
    await module.start()
    if what == "hang":
        await module.asend_hang()
        await module.stop()
        return 0
    await module.asend_stamp(time.monotonic_ns())
    began = time.perf_counter()
    if what == "one":
        for _ in range(count):
            await module.asend()
    elif what == "many":
        await module.asend_many(count)
    else:
        for _ in range(count):
            await asyncio.sleep(_PAUSE_SECONDS)
            await module.asend_stamp(time.monotonic_ns())
    seconds = time.perf_counter() - began
    await module.stop()
    return seconds


if __name__ == "__main__":
    main()
