"""Messages in and out: send, receive, settle."""

import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.completing import Queue
from penstock.cli.message_views import print_bodies
from penstock.cli.output import Answers, note, print_json, progress, say
from penstock.cli.queue_settings import pairs
from penstock.cli.target import At
from penstock.cli.times import duration, instant
from penstock.core.errors import InvalidRequest, error_from
from penstock.core.messages import Attribute, Draft
from penstock.core.operations import (
    Receive,
    Refused,
    Send,
    SendOutcome,
    SendReply,
    Settle,
)
from penstock.core.settlements import (
    DELETE,
    Action,
    ChangeVisibility,
    DeadLetter,
    GiveBack,
    Settled,
    Settlement,
)

if TYPE_CHECKING:
    from penstock.broker.contract import Broker

PAGE = 100


def send(
    queue: Queue,
    at: At,
    answer: Answers,
    bodies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BODY", help="Messages to send; none or -: one, read from standard input.", show_default=False
        ),
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Send each line of standard input as a message.")] = False,
    delay: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="Not to be received before.")
    ] = None,
    deliver_at: Annotated[
        int | None, typer.Option("--at", metavar="INSTANT", parser=instant, help="The same as an instant.")
    ] = None,
    priority: Annotated[int, typer.Option(help="0 to 9; higher is received first.")] = 0,
    group: Annotated[str | None, typer.Option(metavar="ID", help="Message group.")] = None,
    deduplication_id: Annotated[str | None, typer.Option(metavar="ID", help="FIFO: the same one is kept once.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Attribute of type String; may be repeated.")
    ] = None,
    time_to_live: Annotated[
        float | None,
        typer.Option(metavar="DURATION", parser=duration, help="Forgotten so long after. [default: the queue's]"),
    ] = None,
) -> None:
    """Send messages."""
    texts: Iterable[str]
    if lines:
        texts = (line.rstrip("\n") for line in sys.stdin)
    else:
        texts = [sys.stdin.read() if body == "-" else body for body in bodies or ["-"]]
    attributes = {name: Attribute(string_value=value) for name, value in pairs(attribute).items()}
    drafts = (
        Draft(
            text,
            attributes=attributes,
            delay_seconds=delay,
            deliver_at=deliver_at,
            priority=priority,
            group_id=group,
            deduplication_id=deduplication_id,
            time_to_live_seconds=time_to_live,
        )
        for text in texts
    )

    async def work(broker: "Broker") -> list[SendOutcome]:
        outcomes: list[SendOutcome] = []
        with progress("Sending") as sent:
            async for some in _sent(broker, queue, drafts):
                outcomes += some
                sent(len(outcomes))
                _print_ids(some, answer.is_json)
        return outcomes

    outcomes = at.run(work)
    if answer.is_json:
        print_json(SendReply(tuple(outcomes)))
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            raise error_from(outcome.problem)


def receive(
    queue: Queue,
    at: At,
    answer: Answers,
    max_messages: Annotated[int, typer.Option("--max", help="At most so many.")] = 1,
    wait: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="Wait so long for a message. [default: 0]")
    ] = None,
    visibility_timeout: Annotated[
        float | None,
        typer.Option(metavar="DURATION", parser=duration, help="How long the lease lasts. [default: the queue's]"),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them once they are printed.")] = False,
) -> None:
    """Receive messages and print their bodies. They come back when their lease ends, unless they are deleted."""

    async def work(broker: "Broker") -> None:
        reply = await broker.perform(Receive(queue, max_messages, wait or 0, visibility_timeout))
        if answer.is_json:
            print_json(reply)
        elif not reply.deliveries:
            note("There is nothing to receive.")
        print_bodies(() if answer.is_json else reply.deliveries)
        if delete and reply.deliveries:
            handles = [each.receipt_handle for each in reply.deliveries]
            await _settle(broker, queue, handles, DELETE, "give a longer --visibility-timeout.")

    at.run(work)


def settle(
    queue: Queue,
    at: At,
    answer: Answers,
    receipt_handles: Annotated[
        list[str],
        typer.Argument(metavar="RECEIPT-HANDLE", help="As `receive --json` told them.", show_default=False),
    ],
    delete: Annotated[bool, typer.Option("--delete", help="It is done: forget the message.")] = False,
    hold: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="Hold it so much longer from now.")
    ] = None,
    give_back: Annotated[
        bool, typer.Option("--give-back", help="Let go of it, as if it had not been received.")
    ] = False,
    dead_letter: Annotated[
        str | None, typer.Option(metavar="REASON", help="It can never succeed: to the dead letters.")
    ] = None,
) -> None:
    """Finish with what was received: delete it, change its visibility, give it back or dead-letter it."""
    asked: list[Action] = [DELETE] if delete else []
    asked += [] if hold is None else [ChangeVisibility(hold)]
    asked += [GiveBack()] if give_back else []
    asked += [] if dead_letter is None else [DeadLetter(dead_letter)]
    if len(asked) != 1:
        raise typer.BadParameter("Say one of --delete, --hold, --give-back and --dead-letter.")
    settled = at.run(lambda broker: _settle(broker, queue, receipt_handles, asked[0], "receive the message again."))
    answer(settled, f"Done, {len(settled)} of them." if len(settled) > 1 else "Done.")


async def _sent(broker: "Broker", queue: str, drafts: Iterator[Draft]) -> AsyncIterator[tuple[SendOutcome, ...]]:
    while some := tuple(islice(drafts, PAGE)):
        outcomes = (await broker.perform(Send(queue, some))).outcomes
        yield outcomes
        if any(isinstance(outcome, Refused) for outcome in outcomes):
            return


async def _settle(
    broker: "Broker", queue: str, receipt_handles: list[str], action: Action, what_to_do: str
) -> list[str | None]:
    """Settle deliveries and return the ids of their messages. Raises where one could not be settled so."""
    settlements = tuple(Settlement(queue, each, action) for each in receipt_handles)
    outcomes = (await broker.perform(Settle(settlements))).outcomes
    for outcome in outcomes:
        if outcome.problem is not None:
            raise error_from(outcome.problem)
        if outcome.result is not Settled.DONE:
            raise InvalidRequest(
                f"Message {outcome.message_id or ''} was not settled: {outcome.result}.",
                hint=f"Its lease was over before that; {what_to_do}",
            )
    return [outcome.message_id for outcome in outcomes]


def _print_ids(outcomes: tuple[SendOutcome, ...], as_json: bool) -> None:
    for outcome in outcomes:
        if not isinstance(outcome, Refused) and not as_json:
            say(outcome.message_id + (" (duplicate)" if outcome.is_duplicate else ""))
