"""``penstock queue``: list, create, show, delete, purge."""

from typing import Annotated, Any

import typer

from penstock.broker.contract import Broker
from penstock.cli.output import print_json, print_table, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url, target
from penstock.core.operations import CreateQueue, DeleteQueue, DescribeQueue, ListQueues, PurgeQueue
from penstock.core.queues import QueueDescription

app = typer.Typer(help="List, create, show, delete and purge queues.", no_args_is_help=True, rich_markup_mode=None)

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list")
def list_queues(
    prefix: Annotated[str, typer.Argument(help="Only names that start so.")] = "",
    as_json: Json = False,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """List queues and how many messages they hold."""
    found = target(url, store, key).run(lambda broker: _all(broker, prefix))
    if as_json:
        print_json(found)
    elif not found:
        say("There is no queue" + (f" whose name starts with {prefix!r}." if prefix else "."))
    else:
        rows = [
            (each.name, each.counts.ready, each.counts.delayed, each.counts.in_flight, _kind(each), _dead_letters(each))
            for each in found
        ]
        columns = ("Queue", "Ready", "Delayed", "In flight", "Kind", "Dead-letters to")
        print_table(columns, rows, numbers=columns[1:4])


@app.command("create")
def create(
    queue: Queue,
    fifo: Annotated[bool, typer.Option("--fifo", help="A FIFO queue; so is every name that ends in .fifo.")] = False,
    visibility_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long a lease lasts. [default: 30]")
    ] = None,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="Delay of messages. [default: 0]")] = None,
    retention: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long messages are kept. [default: 345600, 4 days]")
    ] = None,
    receive_wait: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Long poll of receives that name none. [default: 0]")
    ] = None,
    dead_letter_queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="Where spent messages go.")] = None,
    max_receive_count: Annotated[
        int | None, typer.Option(metavar="COUNT", help="After how many deliveries a message is spent.")
    ] = None,
    content_based_deduplication: Annotated[
        bool, typer.Option("--content-based-deduplication", help="FIFO: deduplicate by the body.")
    ] = False,
    history: Annotated[
        str | None, typer.Option(metavar="off|errors|all", help="Which events of messages are kept. [default: off]")
    ] = None,
    as_json: Json = False,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Create a queue, or find it as it is wanted."""
    from penstock.config import queue_changes

    table: dict[str, Any] = {
        "is_fifo": fifo or None,
        "visibility_timeout_seconds": visibility_timeout,
        "delay_seconds": delay,
        "retention_seconds": retention,
        "receive_wait_seconds": receive_wait,
        "dead_letter_queue": dead_letter_queue,
        "max_receive_count": max_receive_count,
        "content_based_deduplication": content_based_deduplication or None,
        "history": history,
    }
    changes = queue_changes(queue, {name: value for name, value in table.items() if value is not None})
    reply = target(url, store, key).run(lambda broker: broker.perform(CreateQueue(queue, changes)))
    if as_json:
        print_json(reply)
    else:
        say(f"Created {queue}." if reply.was_created else f"{queue} is there already, as wanted.")


@app.command("show")
def show(queue: Queue, as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None) -> None:
    """Show a queue: its messages, its settings, its totals."""
    described = target(url, store, key).run(lambda broker: broker.perform(DescribeQueue(queue))).queue
    if as_json:
        print_json(described)
        return
    rows: list[tuple[str, object]] = [
        ("ready", described.counts.ready),
        ("delayed", described.counts.delayed),
        ("in flight", described.counts.in_flight),
        ("oldest sent", _instant(described.oldest_sent_at)),
        ("created", _instant(described.created_at)),
        ("sent, received, deleted", f"{described.sent_total}, {described.received_total}, {described.deleted_total}"),
    ]
    settings = described.settings
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if name == "redrive" and value is not None:
            value = f"to {value.dead_letter_queue} after {value.max_receive_count} deliveries"
        rows.append((name, "-" if value is None or value == {} else value))
    print_table((described.name, ""), rows)


@app.command("delete")
def delete(
    queue: Queue, yes: Yes = False, as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None
) -> None:
    """Delete a queue and all its messages."""
    _ask(yes, f"Delete {queue} and all its messages?")
    target(url, store, key).run(lambda broker: broker.perform(DeleteQueue(queue)))
    if as_json:
        print_json({"deleted": queue})
    else:
        say(f"Deleted {queue}.")


@app.command("purge")
def purge(
    queue: Queue, yes: Yes = False, as_json: Json = False, url: Url = None, store: StoreUrl = None, key: KeyPair = None
) -> None:
    """Forget all messages of a queue, those in flight too."""
    _ask(yes, f"Forget all messages of {queue}?")
    reply = target(url, store, key).run(lambda broker: broker.perform(PurgeQueue(queue)))
    if as_json:
        print_json(reply)
    else:
        say(f"Purged {queue}: {reply.purged_count} messages.")


async def _all(broker: Broker, prefix: str) -> list[QueueDescription]:
    found: list[QueueDescription] = []
    after: str | None = ""
    while after is not None:
        reply = await broker.perform(ListQueues(prefix, after))
        found += reply.queues
        after = reply.next_after
    return found


def _ask(yes: bool, question: str) -> None:
    if not yes:
        typer.confirm(question, abort=True)


def _kind(queue: QueueDescription) -> str:
    kind = "FIFO" if queue.settings.is_fifo else "standard"
    return f"{kind}, paused" if queue.settings.is_paused else kind


def _dead_letters(queue: QueueDescription) -> str:
    redrive = queue.settings.redrive
    return "" if redrive is None else f"{redrive.dead_letter_queue} after {redrive.max_receive_count}"


def _instant(at: int | None) -> str:
    from datetime import UTC, datetime

    return "-" if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
