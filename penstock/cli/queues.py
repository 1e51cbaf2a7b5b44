"""``penstock queue``: queues, their settings, tags and policies, and their message groups."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from penstock.cli.completing import Queue, complete_queue
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answers, Tinted, Yes, confirm, print_table
from penstock.cli.queue_settings import Settings, changes, pairs
from penstock.cli.target import At
from penstock.cli.times import told_instant
from penstock.core.operations import (
    CreateQueue,
    DeleteQueue,
    DescribeQueue,
    ListGroups,
    ListQueues,
    PurgeQueue,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.partitions import MOST_PARTITIONS
from penstock.core.queues import GroupView, QueueChanges, QueueDescription

if TYPE_CHECKING:
    from penstock.broker.contract import Broker

app = CommandGroup("Queues: make, change, watch and empty them; their tags, policies and groups.")

Group = Annotated[str, typer.Argument(metavar="GROUP", help="Id of the message group.", show_default=False)]


@app.command("list")
def list_queues(
    at: At,
    answer: Answers,
    prefix: Annotated[
        str, typer.Argument(help="Only names that start so.", autocompletion=complete_queue, show_default=False)
    ] = "",
) -> None:
    """List queues and how many messages they hold."""
    found = at.run(lambda broker: all_queues(broker, prefix))
    columns = ("Queue", "Ready", "Delayed", "In flight", "Kind", "Dead-letters to")
    answer.table(
        found,
        columns,
        lambda: map(_listed, found),
        nothing="There is no queue" + (f" whose name starts with {prefix!r}." if prefix else "."),
        numbers=columns[1:4],
    )


@app.command("create")
def create(
    queue: Queue,
    at: At,
    settings: Settings,
    answer: Answers,
    fifo: Annotated[bool, typer.Option("--fifo", help="A FIFO queue; so is every name that ends in .fifo.")] = False,
    group_order: Annotated[
        Literal["fair", "strict"] | None, typer.Option(help="How groups are served; FIFO queues are strict.")
    ] = None,
    deduplicate_per_group: Annotated[
        bool, typer.Option("--deduplicate-per-group", help="A deduplication window for each group.")
    ] = False,
    partitions: Annotated[
        int | None, typer.Option(min=1, max=MOST_PARTITIONS, help="Of how many parts it is made. [default: 1]")
    ] = None,
    partitioner: Annotated[
        str | None,
        typer.Option(metavar="hash|qugo:QUEUES", help="Which groups are in which partition. [default: hash]"),
    ] = None,
) -> None:
    """Create a queue, or find it as it is wanted."""
    fixed = {
        "is_fifo": fifo or None,
        "group_order": group_order,
        "deduplicate_per_group": deduplicate_per_group or None,
        "partitions": partitions,
        "partitioner": partitioner,
    }
    wanted = changes(queue, settings | {name: value for name, value in fixed.items() if value is not None})
    reply = at.perform(CreateQueue(queue, wanted))
    answer(reply, f"Created {queue}." if reply.was_created else f"{queue} is there already, as wanted.")


@app.command("edit")
def edit(queue: Queue, at: At, settings: Settings, answer: Answers) -> None:
    """Change settings of a queue; what is not named stays as it is."""
    if not settings:
        raise typer.BadParameter("Say which settings.")
    # the name says nothing here: whether it is a FIFO queue cannot be changed
    reply = at.perform(UpdateQueue(queue, changes("", settings)))
    answer(reply, f"Changed {queue}.")


@app.command("show")
def show(queue: Queue, at: At, answer: Answers) -> None:
    """Show a queue: its messages, its settings, its totals."""
    described = at.perform(DescribeQueue(queue)).queue
    answer(described, lambda: print_table((described.name, ""), _facts(described)))


@app.command("pause")
def pause(queue: Queue, at: At, answer: Answers) -> None:
    """Let receives answer nothing, until it is resumed; sends go on."""
    reply = at.perform(UpdateQueue(queue, QueueChanges(is_paused=True)))
    answer(reply, f"{queue} is paused.")


@app.command("resume")
def resume(queue: Queue, at: At, answer: Answers) -> None:
    """Let messages of a paused queue be received again."""
    reply = at.perform(UpdateQueue(queue, QueueChanges(is_paused=False)))
    answer(reply, f"{queue} goes on.")


@app.command("purge")
def purge(queue: Queue, at: At, answer: Answers, yes: Yes = False) -> None:
    """Forget all messages of a queue, those in flight too."""
    confirm(yes, f"Forget all messages of {queue}?")
    reply = at.perform(PurgeQueue(queue))
    answer(reply, f"Purged {queue}: {reply.purged_count} messages.")


@app.command("delete")
def delete(queue: Queue, at: At, answer: Answers, yes: Yes = False) -> None:
    """Delete a queue and all its messages."""
    confirm(yes, f"Delete {queue} and all its messages?")
    at.perform(DeleteQueue(queue))
    answer({"deleted": queue}, f"Deleted {queue}.")


@app.command("tag")
def tag(
    queue: Queue,
    at: At,
    answer: Answers,
    tags: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", show_default=False)] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Take one away; may be repeated.")] = None,
) -> None:
    """Show the tags of a queue; with NAME=VALUE or --remove, change them first."""
    wanted: dict[str, str | None] = {**pairs(tags), **dict.fromkeys(remove or ())}
    operation = UpdateQueue(queue, QueueChanges(tags=wanted)) if wanted else DescribeQueue(queue)
    kept = at.perform(operation).queue.settings.tags
    answer.table(kept, ("Tag", "Value"), lambda: sorted(kept.items()), nothing=f"{queue} has no tags.")


@app.command("policy")
def policy(
    queue: Queue,
    at: At,
    answer: Answers,
    file: Annotated[
        str | None, typer.Option("--set", metavar="FILE", help="Set it to what the file says; -: standard input.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Let it have none.")] = False,
) -> None:
    """Show who else may use a queue: its policy, as IAM writes them; or change it."""
    if file is not None and remove:
        raise typer.BadParameter("--set and --remove exclude each other.")
    if file is None and not remove:
        operation: Any = DescribeQueue(queue)
    else:
        text = None if file is None else _policy_in(file)
        operation = UpdateQueue(queue, QueueChanges(edge_attributes={"Policy": text}))
    kept = at.perform(operation).queue.settings.edge_attributes.get("Policy")
    found = None if kept is None else json.loads(kept)
    answer(found, f"{queue} has no policy." if found is None else json.dumps(found, indent=2))


@app.command("groups")
def groups(
    queue: Queue,
    at: At,
    answer: Answers,
    parked: Annotated[bool, typer.Option("--parked", help="Only those that are parked.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
) -> None:
    """List message groups that hold messages or are parked."""

    async def work(broker: "Broker") -> list[GroupView]:
        found: list[GroupView] = []
        after: str | None = ""
        while after is not None and len(found) < limit:
            reply = await broker.perform(ListGroups(queue, after, min(1000, limit - len(found)), parked))
            found += reply.groups
            after = reply.next_after
        return found

    found = at.run(work)
    columns = ("Group", "Waiting", "In flight", "Next from", "")
    answer.table(
        found,
        columns,
        lambda: (
            (each.group_id, each.waiting, each.in_flight, told_instant(each.ready_at), _about(each)) for each in found
        ),
        nothing=f"{queue} has no such group." if parked else f"{queue} has no groups.",
        numbers=columns[1:3],
    )


@app.command("park")
def park(queue: Queue, group: Group, at: At, answer: Answers) -> None:
    """Let nothing of a message group be received, until it is unparked."""
    at.perform(UpdateGroup(queue, group, True))
    answer({"parked": group}, f"Nothing of group {group} is received.")


@app.command("unpark")
def unpark(queue: Queue, group: Group, at: At, answer: Answers) -> None:
    """Let messages of a parked group be received again."""
    at.perform(UpdateGroup(queue, group, False))
    answer({"unparked": group}, f"Group {group} goes on.")


async def all_queues(broker: "Broker", prefix: str = "") -> list[QueueDescription]:
    """Return queues in order of their names."""
    found: list[QueueDescription] = []
    after: str | None = ""
    while after is not None:
        reply = await broker.perform(ListQueues(prefix, after))
        found += reply.queues
        after = reply.next_after
    return found


def _listed(queue: QueueDescription) -> tuple[object, ...]:
    counts, redrive = queue.counts, queue.settings.redrive
    kind: object = "FIFO" if queue.settings.is_fifo else "standard"
    if queue.settings.partitions > 1:
        kind = f"{kind}, {queue.settings.partitions} partitions"
    if queue.settings.is_paused:
        kind = Tinted(f"{kind}, paused", "yellow")
    if queue.is_away:
        kind = Tinted(f"{kind}, its shard is away", "red")
    dead = "" if redrive is None else f"{redrive.dead_letter_queue} after {redrive.max_receive_count}"
    return queue.name, counts.ready, counts.delayed, counts.in_flight, kind, dead


def _facts(queue: QueueDescription) -> list[tuple[str, object]]:
    totals = f"{queue.sent_total}, {queue.received_total}, {queue.deleted_total}"
    facts: list[tuple[str, object]] = [
        ("ready", queue.counts.ready),
        ("delayed", queue.counts.delayed),
        ("in flight", queue.counts.in_flight),
        ("oldest sent", told_instant(queue.oldest_sent_at) or "-"),
        ("created", told_instant(queue.created_at)),
        ("sent, received, deleted", totals),
    ]
    for name in queue.settings.__struct_fields__:
        value = getattr(queue.settings, name)
        if name == "redrive" and value is not None:
            value = f"to {value.dead_letter_queue} after {value.max_receive_count} deliveries"
        elif name == "tags":
            value = ", ".join(f"{tag}={text}" for tag, text in sorted(value.items()))
        facts.append((name, "-" if value in (None, "", {}) else value))
    return facts


def _about(group: GroupView) -> object:
    return Tinted("parked", "yellow") if group.is_parked else "noisy" if group.is_noisy else ""


def _policy_in(file: str) -> str:
    from penstock.core.policies import check_policy

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        check_policy(text)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no policy: {error}.") from None
    return text
