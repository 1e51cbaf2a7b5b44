"""Conditions on messages as options: what ``message list``, ``peek`` and ``redrive`` look for."""

from typing import Annotated, Literal

import typer

from penstock.cli.gathering import Gathered
from penstock.cli.times import duration
from penstock.core.filters import MessageFilter
from penstock.core.messages import State


def message_filter(
    state: Annotated[Literal["ready", "delayed", "in_flight"] | None, typer.Option(help="Only in this state.")] = None,
    text: Annotated[str | None, typer.Option(help="Only with this text in the body.")] = None,
    json_path: Annotated[
        str | None,
        typer.Option("--json-path", metavar="PATH[=JSON]", help="Only JSON bodies that have it: order.lines.0.sku=7."),
    ] = None,
    attribute: Annotated[
        str | None, typer.Option(metavar="NAME[=VALUE]", help="Only with this message attribute.")
    ] = None,
    group: Annotated[str | None, typer.Option(metavar="ID", help="Only of this message group.")] = None,
    received: Annotated[
        int | None, typer.Option(metavar="COUNT", help="Only those received at least so often.")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="Only those sent longer ago.")
    ] = None,
    newer_than: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=duration, help="Only those sent since.")
    ] = None,
) -> MessageFilter:
    """Return the conditions that the options name; all must hold."""
    from penstock.broker.system import SystemClock

    now = SystemClock().now_ms()
    path, has_value, value = (json_path or "").partition("=")
    name, has_text, wanted = (attribute or "").partition("=")
    return MessageFilter(
        state=None if state is None else State(state),
        text=text,
        json_path=path or None,
        json_value=_as_json(value) if has_value else None,
        attribute=name or None,
        attribute_value=wanted if has_text else None,
        group_id=group,
        min_receive_count=received,
        sent_before=None if older_than is None else now - round(older_than * 1000),
        sent_after=None if newer_than is None else now - round(newer_than * 1000),
    )


Wanted = Annotated[MessageFilter, Gathered(message_filter)]


def _as_json(value: str) -> str:
    """Return a value as JSON; a plain word is meant as a string."""
    import json

    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value)
    return value
