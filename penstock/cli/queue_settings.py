"""The settings of a queue as options, for those that create and those that edit."""

from typing import Annotated, Any, Literal

import typer
from msgspec import structs

from penstock.cli.gathering import Gathered
from penstock.cli.times import duration
from penstock.config import queue_changes
from penstock.core.queues import QueueChanges

_NONE = "none"


def pairs(texts: list[str] | None) -> dict[str, str]:
    """Return what ``NAME=VALUE`` texts say. Raises BadParameter."""
    found = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE.")
        found[name] = value
    return found


def limit(text: str) -> int | str:
    """Return a limit, or that there is none. Raises BadParameter."""
    if text == _NONE:
        return text
    if not text.isdigit():
        raise typer.BadParameter(f"{text!r} is no number, and not {_NONE!r}.")
    return int(text)


def _seconds(help: str) -> Any:
    return typer.Option(metavar="DURATION", parser=duration, help=help)


def settings(
    visibility_timeout: Annotated[float | None, _seconds("How long a lease lasts. [default: 30]")] = None,
    delay: Annotated[float | None, _seconds("Delay of messages that name none. [default: 0]")] = None,
    retention: Annotated[float | None, _seconds("How long messages are kept. [default: 4d]")] = None,
    receive_wait: Annotated[float | None, _seconds("Long poll of receives that name none. [default: 0]")] = None,
    max_message_bytes: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Largest message accepted. [default: 1048576]")
    ] = None,
    dead_letter_queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help=f"Where spent messages go; {_NONE}: nowhere.")
    ] = None,
    max_receive_count: Annotated[
        int | None, typer.Option(metavar="COUNT", help="After how many deliveries a message is spent.")
    ] = None,
    content_based_deduplication: Annotated[
        bool | None,
        typer.Option(
            "--content-based-deduplication/--no-content-based-deduplication", help="FIFO: deduplicate by the body."
        ),
    ] = None,
    deduplication_window: Annotated[
        float | None, _seconds("How long a deduplication id is remembered. [default: 5m]")
    ] = None,
    max_in_flight: Annotated[
        str | None, typer.Option(metavar="COUNT", parser=limit, help=f"Most leases at once; {_NONE}: no limit.")
    ] = None,
    group_max_in_flight: Annotated[
        str | None, typer.Option(metavar="COUNT", parser=limit, help=f"The same for each group; {_NONE}: no limit.")
    ] = None,
    redelivery: Annotated[
        Literal["first", "last"] | None, typer.Option(help="Where messages go whose lease has ended. [default: first]")
    ] = None,
    history: Annotated[
        str | None, typer.Option(metavar="off|errors|all", help="Which events of messages are kept. [default: off]")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label; may be repeated.")] = None,
) -> dict[str, Any]:
    """Return the settings that were named, as a table of the configuration has them."""
    table: dict[str, Any] = {
        "visibility_timeout_seconds": visibility_timeout,
        "delay_seconds": delay,
        "retention_seconds": retention,
        "receive_wait_seconds": receive_wait,
        "max_message_bytes": max_message_bytes,
        "dead_letter_queue": dead_letter_queue,
        "max_receive_count": max_receive_count,
        "content_based_deduplication": content_based_deduplication,
        "deduplication_window_seconds": deduplication_window,
        "max_in_flight": max_in_flight,
        "group_max_in_flight": group_max_in_flight,
        "redelivery": redelivery,
        "history": history,
        "tags": pairs(tag) or None,
    }
    return {name: value for name, value in table.items() if value is not None}


Settings = Annotated[dict[str, Any], Gathered(settings)]


def changes(queue: str, table: dict[str, Any]) -> QueueChanges:
    """Return a table of settings as changes. Raises ConfigurationInvalid."""
    told = {name: None if value == _NONE and name.endswith("in_flight") else value for name, value in table.items()}
    if told.get("dead_letter_queue") == _NONE:
        del told["dead_letter_queue"]
        return structs.replace(queue_changes(queue, told), redrive=None)
    return queue_changes(queue, told)
