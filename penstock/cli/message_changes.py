"""What is done to messages by their ids: edit and send again, delete, cancel, reschedule."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import structs

from penstock.cli.message_views import MessageId, found_by_id
from penstock.cli.output import Answer, Answers, Yes, confirm, print_json, say
from penstock.cli.target import At
from penstock.cli.times import duration, instant, told_instant
from penstock.core.errors import error_from
from penstock.core.messages import Draft, MessageView
from penstock.core.operations import (
    Cancel,
    DeleteMessages,
    IdOutcome,
    Refused,
    Reschedule,
    Send,
    Sent,
)

if TYPE_CHECKING:
    from penstock.broker.contract import Broker

MessageIds = Annotated[list[str], typer.Argument(metavar="MESSAGE", help="Ids of messages.", show_default=False)]

_IN_WORDS = {IdOutcome.IN_FLIGHT: "is in flight: somebody holds it", IdOutcome.GONE: "is gone, or never was"}


def edit(
    message_id: MessageId,
    at: At,
    answer: Answers,
    body: Annotated[str | None, typer.Option(help="The other body; none: an editor opens.")] = None,
    file: Annotated[str | None, typer.Option(metavar="FILE", help="The same from a file; -: standard input.")] = None,
    queue: Annotated[str | None, typer.Option(help="Send it there. [default: where it was]")] = None,
    group: Annotated[str | None, typer.Option(metavar="ID", help="Message group. [default: as it was]")] = None,
    delay: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="Not to be received before.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the original too.")] = False,
) -> None:
    """Send a message again with another body, and delete the original. Attributes, group and priority go with it."""
    if body is not None and file is not None:
        raise typer.BadParameter("--body and --file exclude each other.")

    async def look(broker: "Broker") -> MessageView:
        return await found_by_id(broker, message_id)

    original = at.run(look)
    text = body if body is not None else _read(file) if file is not None else _edited(original.body)
    draft = Draft(
        text,
        attributes=original.attributes,
        system_attributes=original.system_attributes,
        priority=original.priority,
        group_id=group if group is not None else original.group_id,
        delay_seconds=delay,
    )

    async def resend(broker: "Broker") -> Sent:
        # one of its own: with the original's it would be taken for the original
        deduplicated = original.deduplication_id is not None
        sent_as = structs.replace(draft, deduplication_id=_other_id()) if deduplicated else draft
        outcome = (await broker.perform(Send(queue or original.queue, (sent_as,)))).outcomes[0]
        if isinstance(outcome, Refused):
            raise error_from(outcome.problem)
        if not keep:
            await broker.perform(DeleteMessages((message_id,)))
        return outcome

    sent = at.run(resend)
    answer(sent, sent.message_id)


def delete(message_ids: MessageIds, at: At, answer: Answers, yes: Yes = False) -> None:
    """Forget messages whatever their state; who holds one cannot finish it any more."""
    confirm(yes, f"Forget {len(message_ids)} messages?" if len(message_ids) > 1 else "Forget this message?")
    _tell(answer, message_ids, at.perform(DeleteMessages(tuple(message_ids))).outcomes, "deleted")


def cancel(message_ids: MessageIds, at: At, answer: Answers) -> None:
    """Forget messages that nobody holds; one in flight is left to who works on it."""
    _tell(answer, message_ids, at.perform(Cancel(tuple(message_ids))).outcomes, "cancelled")


def reschedule(
    message_ids: MessageIds,
    at: At,
    answer: Answers,
    deliver_at: Annotated[
        int | None, typer.Option("--at", metavar="INSTANT", parser=instant, help="2030-01-31T12:00, local.")
    ] = None,
    delay: Annotated[
        float | None, typer.Option("--in", metavar="DURATION", parser=duration, help="So long from now; 0: at once.")
    ] = None,
) -> None:
    """Set from when messages that nobody holds may be received."""
    if (deliver_at is None) == (delay is None):
        raise typer.BadParameter("Say one of --at and --in.")
    if deliver_at is None:
        from penstock.broker.system import SystemClock

        deliver_at = SystemClock().now_ms() + round((delay or 0) * 1000)
    outcomes = at.perform(Reschedule(tuple(message_ids), deliver_at)).outcomes
    _tell(answer, message_ids, outcomes, f"may be received from {told_instant(deliver_at)}")


def _tell(answer: Answer, message_ids: list[str], outcomes: tuple[IdOutcome, ...], done: str) -> None:
    told = dict(zip(message_ids, outcomes, strict=True))
    if answer.is_json:
        print_json(told)
    else:
        for message_id, outcome in told.items():
            say(f"{message_id} {done if outcome is IdOutcome.DONE else _IN_WORDS[outcome]}")
    if any(outcome is not IdOutcome.DONE for outcome in outcomes):
        raise typer.Exit(1)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}.") from None


def _edited(text: str) -> str:
    """Return a text as somebody leaves it in their editor. Raises BadParameter where there is none, Abort where it was
    left unchanged."""
    import os
    import shlex
    import subprocess
    import tempfile

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise typer.BadParameter("Say --body or --file, or set EDITOR.")
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        path = Path(folder, "body.json" if text.startswith(("{", "[")) else "body.txt")
        path.write_text(text, "utf-8")
        if subprocess.run([*shlex.split(editor), str(path)], check=False).returncode:
            raise typer.Abort
        edited = path.read_text("utf-8")
    # an editor ends what it writes with a line feed
    edited = edited.removesuffix("\n") if not text.endswith("\n") else edited
    if edited == text:
        raise typer.Abort
    return edited


def _other_id() -> str:
    import uuid

    return str(uuid.uuid4())
