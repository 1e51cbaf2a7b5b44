"""Which messages somebody wants to see or move."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

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


Matcher = Callable[[MessageFilter, MessageView], bool]
"""Tells whether a message that is kept meets every condition."""


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


def body_test(wanted: MessageFilter) -> Callable[[bytes], bool] | None:
    """Return what tells of a body in UTF-8, before anything else of its message is read, whether it meets the
    conditions on bodies; ``None`` where there are none."""
    has_json = None if wanted.json_path is None else _json_condition(wanted.json_path, wanted.json_value).holds
    if wanted.text is None:
        return has_json
    text = wanted.text.encode("utf-8", "surrogatepass")
    return lambda body: text in body and (has_json is None or has_json(body))


def _has_json(wanted: MessageFilter, body: str) -> bool:
    return wanted.json_path is None or _json_condition(wanted.json_path, wanted.json_value).holds(body)


class _JsonCondition:
    """A path into JSON and the value wanted there, made once for all the bodies that are looked through.

    Only what lies on the path is decoded. Bodies that msgspec refuses though Python reads them (half of a surrogate
    pair, numbers beyond a double) are read as Python reads them.
    """

    __slots__ = ("_is_value_wanted", "_is_wanted_json", "_steps", "_wanted", "_wanted_raw")

    def __init__(self, path: str, value: str | None) -> None:
        self._steps = [(step, _object_decoder(step)) for step in path.removeprefix("$").split(".") if step]
        self._is_value_wanted = value is not None
        self._wanted: Any = None
        self._wanted_raw = b""
        self._is_wanted_json = True
        if value is not None:
            try:
                self._wanted = json.loads(value)
                self._wanted_raw = value.encode()
            except (ValueError, RecursionError):
                self._is_wanted_json = False

    def holds(self, body: bytes | str) -> bool:
        """Return whether a body is JSON that has the value there, or anything if none is wanted."""
        try:
            return self._is_wanted_json and self._is_at_end(body.encode() if isinstance(body, str) else body)
        except (msgspec.MsgspecError, UnicodeEncodeError):
            return self._holds_slowly(body)
        except (ValueError, IndexError, RecursionError):
            return False

    def _is_at_end(self, body: bytes) -> bool:
        node: bytes | Raw = body
        for step, decode in self._steps:
            start = bytes(memoryview(node)[:1]) if isinstance(node, Raw) else node.lstrip(b" \t\r\n")[:1]
            if start == b"{":
                node = decode(node)
                if not node:
                    return False
            elif start == b"[":
                node = _decode_list(node)[int(step)]
            else:
                return False
        if not self._steps:
            node = _decode_raw(node)
        if not self._is_value_wanted or bytes(node) == self._wanted_raw:
            return True
        return _is_same(msgspec.json.decode(node), self._wanted)

    def _holds_slowly(self, body: bytes | str) -> bool:
        try:
            node = json.loads(body if isinstance(body, str) else body.decode())
            for step, _ in self._steps:
                node = node[int(step)] if isinstance(node, list) else node[step]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            return False
        return not self._is_value_wanted or _is_same(node, self._wanted)


def _object_decoder(step: str) -> Callable[[bytes | Raw], Raw]:
    """Return what reads one member of an object, and nothing else of it; what that has is empty where there is none."""
    kind = msgspec.defstruct("Member", [("value", Raw, Raw())], rename={"value": step})
    decode = msgspec.json.Decoder(kind).decode
    return lambda node: decode(node).value  # type: ignore[attr-defined]


def _is_same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) is isinstance(other, bool) and one == other


_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_raw = msgspec.json.Decoder(Raw).decode
_json_condition = lru_cache(maxsize=64)(_JsonCondition)
