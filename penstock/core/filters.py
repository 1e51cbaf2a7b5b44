"""Which messages somebody wants to see or move."""

import json

from msgspec import Struct

from penstock.core.messages import MessageView, State


class MessageFilter(Struct, frozen=True, omit_defaults=True):
    """Conditions on a message; all that are given must hold.

    Attributes:
        state: ready, delayed or in flight.
        text: occurs in the body.
        json_path: dotted path into a JSON body (``order.lines.0.sku``); with ``json_value`` the value there must be
            equal to it (compared as JSON), without it must exist.
        attribute: name of a message attribute; with ``attribute_value`` its string value must be equal.
        group_id: of this message group.
        min_receive_count: handed over at least so often.
        sent_before, sent_after: instants in ms since the epoch, exclusive.
        message_ids: one of these.
    """

    state: State | None = None
    text: str | None = None
    json_path: str | None = None
    json_value: str | None = None
    attribute: str | None = None
    attribute_value: str | None = None
    group_id: str | None = None
    min_receive_count: int | None = None
    sent_before: int | None = None
    sent_after: int | None = None
    message_ids: tuple[str, ...] | None = None


def matches(wanted: MessageFilter, message: MessageView) -> bool:
    """Return whether a message meets every condition."""
    return (
        (wanted.state is None or message.state is wanted.state)
        and (wanted.group_id is None or message.group_id == wanted.group_id)
        and (wanted.min_receive_count is None or message.receive_count >= wanted.min_receive_count)
        and (wanted.sent_before is None or message.sent_at < wanted.sent_before)
        and (wanted.sent_after is None or message.sent_at > wanted.sent_after)
        and (wanted.message_ids is None or message.message_id in wanted.message_ids)
        and (wanted.text is None or wanted.text in message.body)
        and _has_attribute(wanted, message)
        and _has_json(wanted, message.body)
    )


def _has_attribute(wanted: MessageFilter, message: MessageView) -> bool:
    if wanted.attribute is None:
        return True
    attribute = message.attributes.get(wanted.attribute)
    if attribute is None:
        return False
    return wanted.attribute_value is None or attribute.string_value == wanted.attribute_value


def _has_json(wanted: MessageFilter, body: str) -> bool:
    if wanted.json_path is None:
        return True
    try:
        node = json.loads(body)
        for step in filter(None, wanted.json_path.removeprefix("$").split(".")):
            node = node[int(step)] if isinstance(node, list) else node[step]
        return wanted.json_value is None or node == json.loads(wanted.json_value)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return False
