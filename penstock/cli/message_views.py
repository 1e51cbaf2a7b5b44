"""Messages looked at without being received: peek, list, show."""

import json
import sys
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.completing import Queue
from penstock.cli.filters import Wanted
from penstock.cli.output import Answers, Tinted, note, print_json, print_table, say, shortened, visible
from penstock.cli.target import At
from penstock.cli.times import told_duration, told_instant
from penstock.core.errors import PenstockError
from penstock.core.events import Event
from penstock.core.filters import MessageFilter
from penstock.core.messages import Delivery, MessageView, State
from penstock.core.operations import Find, Peek, ReadHistory

if TYPE_CHECKING:
    from penstock.broker.contract import Broker

COLOURS = {State.IN_FLIGHT: "cyan", State.DELAYED: "yellow", State.BLOCKED: "magenta", State.READY: "green"}
PAGE = 100


class MessageNotFound(PenstockError):
    """No message has that id."""

    code = "message_not_found"
    fault = "caller"


MessageId = Annotated[str, typer.Argument(metavar="MESSAGE", help="Id of the message.", show_default=False)]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


def peek(queue: Queue, at: At, wanted: Wanted, answer: Answers, limit: Limit = 10) -> None:
    """Print bodies of messages without receiving them."""
    found = at.run(lambda broker: _found(broker, queue, wanted, limit))
    if answer.is_json:
        print_json(found)
    elif not found:
        note(_nothing(wanted))
    print_bodies(() if answer.is_json else found)


def list_messages(
    queue: Queue,
    at: At,
    wanted: Wanted,
    answer: Answers,
    limit: Limit = 50,
    ids: Annotated[bool, typer.Option("--ids", help="Print only their ids.")] = False,
) -> None:
    """List messages in order of arrival, without receiving them: in every state, or those that are looked for."""
    found = at.run(lambda broker: _found(broker, queue, wanted, limit))
    if ids and not answer.is_json:
        for each in found:
            say(each.message_id)
        return
    columns = ("Message", "State", "Sent", "Received", "Group", "Body")
    answer.table(
        found,
        columns,
        lambda: (
            (
                each.message_id,
                Tinted(each.state, COLOURS[each.state]),
                told_instant(each.sent_at),
                each.receive_count,
                each.group_id or "",
                shortened(each.body),
            )
            for each in found
        ),
        nothing=_nothing(wanted),
        numbers=("Received",),
    )


def show(message_id: MessageId, at: At, answer: Answers) -> None:
    """Show a message and its life: what happened to it when, as far as its queue keeps a history."""

    async def work(broker: "Broker") -> tuple[MessageView | None, tuple[Event, ...]]:
        message = (await broker.perform(Find((message_id,)))).messages[0]
        return message, (await broker.perform(ReadHistory(message_id))).events

    message, events = at.run(work)
    if message is None and not events:
        raise _not_found(message_id)
    answer({"message": message, "history": events}, lambda: _print_life(message, events))


def print_bodies(messages: Iterable[MessageView | Delivery]) -> None:
    """Print bodies as they are; on a terminal without what would command it."""
    for each in messages:
        say(visible(each.body) if sys.stdout.isatty() else each.body)
    sys.stdout.flush()


async def found_by_id(broker: "Broker", message_id: str) -> MessageView:
    """Return a message. Raises MessageNotFound."""
    message = (await broker.perform(Find((message_id,)))).messages[0]
    if message is None:
        raise _not_found(message_id)
    return message


async def matching(broker: "Broker", queue: str, wanted: MessageFilter) -> AsyncIterator[MessageView]:
    """Yield all messages of a queue that are looked for."""
    after: int | None = 0
    while after is not None:
        page = await broker.perform(Peek(queue, wanted, after, PAGE))
        for message in page.messages:
            yield message
        after = page.next_after


async def _found(broker: "Broker", queue: str, wanted: MessageFilter, limit: int) -> list[MessageView]:
    found = []
    async for message in matching(broker, queue, wanted):
        found.append(message)
        if len(found) == limit:
            break
    return found


def _not_found(message_id: str) -> MessageNotFound:
    return MessageNotFound(f"There is no message {message_id}.", hint="It was deleted or has expired, or never was.")


def _nothing(wanted: MessageFilter) -> str:
    return "There is no message." if wanted == MessageFilter() else "There is no such message."


def _print_life(message: MessageView | None, events: tuple[Event, ...]) -> None:
    if message is not None:
        print_table((message.message_id, ""), _facts(message))
        say("")
        say(visible(_pretty(message.body)) if sys.stdout.isatty() else _pretty(message.body))
        say("")
    if not events:
        say("Its queue keeps no history of it; `penstock queue edit QUEUE --history all` would.")
        return
    rows, before = [], events[0].at
    for event in events:
        rows.append(
            (
                told_instant(event.at),
                f"+{told_duration(event.at - before)}",
                event.kind,
                event.queue,
                event.detail or "",
            )
        )
        before = event.at
    print_table(("At", "After", "What", "Queue", ""), rows)
    if message is None:
        say("It is gone.")


def _facts(message: MessageView) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [
        ("queue", message.queue),
        ("state", Tinted(message.state, COLOURS[message.state])),
        ("sent", told_instant(message.sent_at or None)),
        ("received", f"{message.receive_count} times"),
        ("first received", told_instant(message.first_received_at)),
        ("lease ends" if message.state is State.IN_FLIGHT else "receivable from", told_instant(message.visible_at)),
        ("expires", told_instant(message.expires_at)),
        ("group", message.group_id),
        ("priority", message.priority or None),
        ("deduplication id", message.deduplication_id),
        ("sender", message.sender_id),
        ("dead-lettered from", message.dead_letter_source),
        ("sequence number", message.sequence_number or None),
    ]
    for name, attribute in {**message.attributes, **message.system_attributes}.items():
        value = attribute.string_value if attribute.string_value is not None else attribute.binary_value
        facts.append((f"{name} ({attribute.data_type})", value))
    return [(name, value) for name, value in facts if value not in (None, "")]


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body
