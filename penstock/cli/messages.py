"""``penstock send`` and ``penstock receive``."""

import sys
from typing import Annotated

import typer

from penstock.broker.contract import Broker
from penstock.cli.output import print_json, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url, target
from penstock.core.errors import InvalidRequest, error_from
from penstock.core.messages import Attribute, Delivery, Draft
from penstock.core.operations import Receive, ReceiveReply, Refused, Send, SendOutcome, SendReply, Settle
from penstock.core.settlements import Settled, Settlement

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.", show_default=False)]

_MOST_AT_ONCE = 100


def send(
    queue: Queue,
    bodies: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BODY]...", help="Messages to send; none or -: one, read from standard input."),
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Send each line of standard input as a message.")] = False,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="Not to be received before.")] = None,
    priority: Annotated[int, typer.Option(help="0 to 9; higher is received first.")] = 0,
    group: Annotated[str | None, typer.Option(metavar="ID", help="Message group.")] = None,
    deduplication_id: Annotated[str | None, typer.Option(metavar="ID", help="FIFO: the same one is kept once.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Attribute of type String; may be repeated.")
    ] = None,
    as_json: Json = False,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Send messages."""
    if lines:
        texts = [line.rstrip("\n") for line in sys.stdin]
    else:
        texts = [sys.stdin.read() if body == "-" else body for body in bodies or ["-"]]
    drafts = [
        Draft(
            text,
            attributes=_attributes(attribute or []),
            delay_seconds=delay,
            priority=priority,
            group_id=group,
            deduplication_id=deduplication_id,
        )
        for text in texts
    ]
    reply = target(url, store, key).run(lambda broker: _send(broker, queue, drafts))
    if as_json:
        print_json(reply)
    for outcome in reply.outcomes:
        if isinstance(outcome, Refused):
            raise error_from(outcome.problem)
        if not as_json:
            say(outcome.message_id + (" (duplicate)" if outcome.is_duplicate else ""))


def receive(
    queue: Queue,
    max_messages: Annotated[int, typer.Option("--max", help="At most so many.")] = 1,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Wait so long for a message.")] = 0,
    visibility_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long the lease lasts. [default: the queue's]")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them once they are printed.")] = False,
    as_json: Json = False,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Receive messages and print their bodies. They come back when their lease ends, unless they are deleted."""

    async def work(broker: Broker) -> None:
        operation = Receive(queue, max_messages, wait, visibility_timeout)
        reply = await broker.perform(operation)
        _print(reply, as_json=as_json)
        if delete and reply.deliveries:
            await _delete(broker, queue, reply.deliveries)

    target(url, store, key).run(work)


async def _send(broker: Broker, queue: str, drafts: list[Draft]) -> SendReply:
    outcomes: tuple[SendOutcome, ...] = ()
    for start in range(0, len(drafts), _MOST_AT_ONCE):
        reply = await broker.perform(Send(queue, tuple(drafts[start : start + _MOST_AT_ONCE])))
        outcomes += reply.outcomes
    return SendReply(outcomes)


async def _delete(broker: Broker, queue: str, deliveries: tuple[Delivery, ...]) -> None:
    settlements = tuple(Settlement(queue, each.receipt_handle) for each in deliveries)
    for outcome in (await broker.perform(Settle(settlements))).outcomes:
        if outcome.result is not Settled.DONE:
            raise InvalidRequest(
                f"Message {outcome.message_id} was not deleted: {outcome.result}.",
                hint="Its lease was over before it was deleted; give a longer --visibility-timeout.",
            )


def _print(reply: ReceiveReply, *, as_json: bool) -> None:
    if as_json:
        print_json(reply)
    elif not reply.deliveries:
        sys.stderr.write("There is nothing to receive.\n")
    else:
        for delivery in reply.deliveries:
            say(delivery.body)
    sys.stdout.flush()


def _attributes(pairs: list[str]) -> dict[str, Attribute]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE.")
        found[name] = Attribute(string_value=value)
    return found
