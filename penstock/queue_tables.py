"""The tables ``[queues.<name>]`` of a configuration, and the error of one that cannot be meant."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import UNSET, structs

from penstock.core.errors import PenstockError
from penstock.core.queues import QueueChanges, RedrivePolicy


class ConfigurationInvalid(PenstockError):
    """The configuration cannot be meant so."""

    code = "configuration_invalid"
    fault = "caller"


def queue_changes(queue: str, table: Mapping[str, Any]) -> QueueChanges:
    """Return the settings that a queue's table in the file names.

    Raises:
        ConfigurationInvalid: a setting is unknown or cannot be meant.
    """
    known = {*QueueChanges.__struct_fields__, "dead_letter_queue", "max_receive_count"} - {"redrive", "edge_attributes"}
    check_names(table, known, f"[queues.{queue}]")
    rest = dict(table)
    target, count = rest.pop("dead_letter_queue", None), rest.pop("max_receive_count", None)
    try:
        changes = msgspec.convert(rest, QueueChanges)
        redrive = None if target is None else msgspec.convert([target, count or 0], tuple[str, int])
    except msgspec.ValidationError as error:
        raise ConfigurationInvalid(f"[queues.{queue}]: {str(error).replace('`', '')}.", field="queues") from None
    if (target is None) != (count is None):
        raise ConfigurationInvalid(
            f"[queues.{queue}]: dead_letter_queue and max_receive_count go together.",
            hint="Say where spent messages go, and after how many deliveries they are spent.",
            field="queues",
        )
    if queue.endswith(".fifo") and changes.is_fifo is UNSET:
        changes = structs.replace(changes, is_fifo=True)  # AWS knows a FIFO queue by its name
    return changes if redrive is None else structs.replace(changes, redrive=RedrivePolicy(*redrive))


def check_names(table: Mapping[str, Any], known: Any, where: str) -> None:
    """Refuse a table with names that nobody knows. Raises ConfigurationInvalid with the nearest one."""
    for name in table:
        if name not in known:
            raise unknown(f"{name} in {where}", name, known)


def unknown(shown: str, name: str, known: Any) -> ConfigurationInvalid:
    """Return the error of a setting that nobody knows, with the nearest one."""
    nearest = get_close_matches(name, list(known), 1, 0.6)
    hint = f"Did you mean {nearest[0]}?" if nearest else f"There are: {', '.join(sorted(known))}."
    return ConfigurationInvalid(f"There is no setting {shown}.", hint=hint, field=name)
