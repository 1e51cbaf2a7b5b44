"""An app whose tasks run in processes; the processes import it from here."""

import asyncio
import logging
import os
import signal
import time
from pathlib import Path

from penstock import Backoff, Penstock, current_job

app = Penstock("sqlite:///nowhere/replaced-by-tests.db")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task(runs_in="process")
def where(x: int) -> tuple[int, int]:
    return x, os.getpid()


@app.task(runs_in="process")
async def where_async(x: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    return x, os.getpid()


@app.task(runs_in="process")
def sends_another(x: int) -> int:
    return add.send(x, 1).result(20)


@app.task(runs_in="process")
async def sends_another_async(x: int) -> int:
    return await (await add.asend(x, 1)).result(20)


@app.task(runs_in="process")
def logs(text: str) -> None:
    logging.getLogger("shop").warning("in a process: %s", text)


@app.task(runs_in="process", max_attempts=1)
def dies(how: str) -> None:
    match how:
        case "exit":
            os._exit(7)
        case "segmentation fault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "out of memory":
            os.kill(os.getpid(), signal.SIGKILL)
        case "SystemExit":
            raise SystemExit(3)


@app.task(runs_in="process", max_attempts=1, memory_limit_mb=100)
def grows() -> None:
    held = []
    while True:
        held.append(bytearray(4 << 20))
        time.sleep(0.01)


@app.task(runs_in="process", max_attempts=1, time_limit_seconds=0.2)
def too_long() -> None:
    time.sleep(60)


@app.task(runs_in="process", max_attempts=1, time_limit_seconds=0.2)
async def too_long_async() -> None:
    await asyncio.sleep(60)


@app.task(runs_in="process")
def sleeps(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


@app.task(runs_in="process", max_attempts=2, backoff=Backoff(0.3))
def goes_on_where_it_was() -> list[int]:
    job = current_job()
    done: list[int] = job.checkpoint([])
    job.progress(len(done) + 1, 2, "so far")
    job.save_checkpoint([*done, job.attempt])
    if job.attempt == 1:
        raise ConnectionError("later")
    return job.checkpoint([])
