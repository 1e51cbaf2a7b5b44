"""The tasks of the chaos test: each tells in a file that it ran, and when."""

import os
import time

from penstock import Backoff, Penstock, current_job

app = Penstock(os.environ.get("CHAOS_URL", "memory://"))
app.queue("ordered", keys="ordered")
_TOLD = os.environ.get("CHAOS_TOLD", "")
_file: list[int] = []

# what a killed worker held is no fault of the job: whichever it was holding may be killed again and again
_ENDURING = {"crash_limit": 1000, "backoff": Backoff(first_seconds=0.1, factor=1)}


def tell(kind: str, name: str) -> None:
    """Write down that something ran, in one write, which cannot be torn by a kill."""
    if not _file:
        _file.append(os.open(_TOLD, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    os.write(_file[0], f"{kind} {name} {current_job().attempt} {time.monotonic():.4f}\n".encode())


@app.task(**_ENDURING)  # type: ignore[arg-type]
async def plain(number: int) -> int:
    tell("plain", str(number))
    return number


@app.task(**_ENDURING)  # type: ignore[arg-type]
def slow(number: int) -> None:
    tell("began", str(number))
    time.sleep(0.8)
    tell("slow", str(number))


@app.task(**_ENDURING)  # type: ignore[arg-type]
async def step(name: str, before: int) -> int:
    tell("step", f"{name}/{before}")
    return before + 1


@app.task(**_ENDURING)  # type: ignore[arg-type]
async def part(name: str, number: int) -> int:
    tell("part", f"{name}/{number}")
    return number


@app.task(**_ENDURING)  # type: ignore[arg-type]
async def joined(name: str, numbers: list[int]) -> int:
    tell("joined", f"{name}/{sum(numbers)}")
    return sum(numbers)


@app.task(queue="ordered", **_ENDURING)  # type: ignore[arg-type]
async def ordered(key: str, number: int) -> None:
    tell("ordered", f"{key}/{number}")
