"""``penstock tail``: what happens to the messages of a queue, a line each, without receiving any of them."""

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.broker.system import SystemClock
from penstock.cli.completing import Queue
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answers, has_colour, note, print_json, say, shortened, visible
from penstock.cli.tail_feed import Happening, from_history, from_looking
from penstock.cli.target import At
from penstock.cli.times import duration, told_time
from penstock.core.operations import DescribeQueue

if TYPE_CHECKING:
    from penstock.broker.contract import Broker

PAUSE_SECONDS = 0.2
COLOURS = {"sent": "32", "received": "36", "deleted": "2", "ended": "2", "dead_lettered": "31", "expired": "31"}

app = CommandGroup()


@app.command("tail")
def tail(
    queue: Queue,
    at: At,
    answer: Answers,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many lines.")] = None,
    lasts: Annotated[
        float | None, typer.Option("--for", metavar="DURATION", parser=duration, help="End after so long.")
    ] = None,
) -> None:
    """Follow what is sent to a queue, received from it and ended. Nothing is received for that. Ctrl-C ends it.

    Where the queue keeps a history of everything, nothing is missed. Otherwise it is looked at again and again, and
    what comes and goes between two looks is only counted.
    """

    async def work(broker: "Broker") -> None:
        settings = (await broker.perform(DescribeQueue(queue))).queue.settings
        keeps_all = settings.history == "all"
        if not keeps_all and not answer.is_json:
            note(f"{queue} keeps no history: what comes and goes between two looks is only counted.")
        feed = from_history(broker, queue) if keeps_all else from_looking(broker, queue, SystemClock())
        told = 0
        async for happenings in feed:
            for each in happenings:
                if answer.is_json:
                    print_json(each)
                else:
                    say(line(each))
                told += 1
                if told == count:
                    return
            sys.stdout.flush()
            await asyncio.sleep(0 if len(happenings) > 100 else PAUSE_SECONDS)

    async def limited(broker: "Broker") -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(work(broker), lasts)

    with contextlib.suppress(KeyboardInterrupt):
        at.run(limited)


def line(happening: Happening) -> str:
    """Return what happened in one line."""
    kind = happening.kind
    if kind == "unseen":
        return f"[{told_time(happening.at)}] {happening.count} more came and went"
    colour = COLOURS.get(kind)
    padded = f"{kind:<9}"
    if colour is not None and has_colour(sys.stdout):
        padded = f"\x1b[{colour}m{padded}\x1b[0m"
    about = happening.detail if happening.body is None else shortened(happening.body, 100)
    return f"[{told_time(happening.at)}] {padded} {happening.message_id} {visible(about)}".rstrip()
