"""Message attributes and message system attributes: what AWS accepts, and the extensions Penstock reads from them.

Source: SQS developer guide, "Amazon SQS message metadata"; words as recorded of AWS.

Extensions are plain attributes of type Number that other servers pass on untouched; they stay visible on receive:
``Penstock.DeliverAt`` (ms since the epoch), ``Penstock.DelaySeconds`` (also beyond 15 minutes), ``Penstock.Priority``
(0 to 9, higher first).
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from penstock.core.messages import HIGHEST_PRIORITY, Attribute
from penstock.wire.sqs.errors import SqsError, invalid
from penstock.wire.sqs.limits import MOST_MESSAGE_ATTRIBUTES
from penstock.wire.sqs.model import MessageAttributeValue

TRACE_HEADER = "AWSTraceHeader"
DELIVER_AT = "Penstock.DeliverAt"
DELAY_SECONDS = "Penstock.DelaySeconds"
PRIORITY = "Penstock.Priority"

NO_ATTRIBUTES: Mapping[str, Attribute] = {}

_NAME = re.compile(r"[\w.-]+")
_RESERVED = ("aws.", "amazon.", ".")
_TYPE = re.compile(r"(String|Number|Binary)(?:\.[\s\S]*)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_LONGEST_NAME = 256
_FORBIDDEN = bytes(code for code in range(32) if code not in (9, 10, 13))
_ALLOWED = bytes(code for code in range(256) if code not in _FORBIDDEN)
_FARTHEST_INSTANT_MS = 1 << 48
_LONGEST_DELAY_SECONDS = 100 * 365 * 86_400


class Extensions(Struct, frozen=True, gc=False):
    """What Penstock's own attributes ask for; ``None`` where they are not given."""

    deliver_at: int | None = None
    delay_seconds: float | None = None
    priority: int = 0


NO_EXTENSIONS = Extensions()


def has_illegal_characters(text: str, encoded: bytes) -> bool:
    """Return whether a text holds a character that XML cannot carry (API reference, ``SendMessage``).

    Allowed are #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD and #x10000 to #x10FFFF.
    """
    if encoded.translate(None, _ALLOWED):
        return True
    return len(text) != len(encoded) and ("\ufffe" in text or "\uffff" in text)


def illegal_character(text: str, place: str) -> str:
    """Return what AWS says of the first illegal character of a text."""
    first = next(character for character in text if has_illegal_characters(character, character.encode()))
    return (
        f"Invalid binary character '#x{ord(first):X}' was found in the {place}, the set of allowed characters is "
        "#x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]."
    )


def attributes_of(given: Mapping[str, MessageAttributeValue]) -> Mapping[str, Attribute]:
    """Return message attributes as the core keeps them. Raises SqsError for what AWS refuses."""
    if len(given) > MOST_MESSAGE_ATTRIBUTES:
        raise SqsError(
            f"Number of message attributes [{len(given)}] exceeds the allowed maximum [{MOST_MESSAGE_ATTRIBUTES}]."
        )
    return {name: _attribute(name, value) for name, value in given.items()}


def system_attributes_of(given: Mapping[str, MessageAttributeValue]) -> Mapping[str, Attribute]:
    """Return message system attributes as the core keeps them; AWS knows one, ``AWSTraceHeader``."""
    for name, value in given.items():
        if name != TRACE_HEADER:
            raise SqsError(f"Message system attribute name '{name}' is invalid.")
        if value.data_type != "String":
            raise SqsError(f"The type of message (system) attribute '{name}' is invalid. You must use String.")
        if not value.string_value:
            raise SqsError(f"Message (system) attribute '{name}' must contain a non-empty value of type 'String'.")
        _check_text(value.string_value, f"message (system) attribute '{name}' value")
    return {name: Attribute("String", value.string_value) for name, value in given.items()}


def extensions_of(attributes: Mapping[str, Attribute]) -> Extensions:
    """Return what Penstock's own attributes ask for. Raises SqsError for a value out of range."""
    if DELIVER_AT not in attributes and DELAY_SECONDS not in attributes and PRIORITY not in attributes:
        return NO_EXTENSIONS
    deliver_at = _extension(attributes, DELIVER_AT, _FARTHEST_INSTANT_MS)
    priority = _extension(attributes, PRIORITY, HIGHEST_PRIORITY)
    return Extensions(
        None if deliver_at is None else int(deliver_at),
        _extension(attributes, DELAY_SECONDS, _LONGEST_DELAY_SECONDS),
        int(priority or 0),
    )


def _attribute(name: str, value: MessageAttributeValue) -> Attribute:
    _check_name(name)
    data_type = value.data_type
    if not data_type:
        raise SqsError(f"Message (user) attribute '{name}' must contain a non-empty attribute type.")
    match = _TYPE.fullmatch(data_type)
    if match is None:
        raise SqsError(
            f"The type of message (user) attribute '{name}' is invalid. "
            "You must use only the following supported type prefixes: Binary, Number, String."
        )
    if len(data_type.encode()) > _LONGEST_NAME:
        raise SqsError("Message (user) attribute types must be shorter than 256 Bytes")
    _check_text(data_type, f"message (user) attribute '{name}' type")
    if value.string_list_values or value.binary_list_values:
        raise SqsError(f"Message (user) attribute '{name}' has a list value; list values are not supported.")
    kind = match[1]
    if kind == "Binary":
        if not value.binary_value or value.string_value:
            raise SqsError(f"Message (user) attribute '{name}' must contain a non-empty value of type 'Binary'.")
        return Attribute(data_type, None, value.binary_value)
    text = value.string_value
    if not text or value.binary_value:
        raise SqsError(f"Message (user) attribute '{name}' must contain a non-empty value of type 'String'.")
    _check_text(text, f"message (user) attribute '{name}' value")
    if kind == "Number" and not _NUMBER.fullmatch(text):
        raise SqsError(f"Can't cast the value of message (user) attribute '{name}' to a number.")
    return Attribute(data_type, text)


def _check_text(text: str, place: str) -> None:
    if has_illegal_characters(text, text.encode()):
        raise SqsError(illegal_character(text, place))


def _check_name(name: str) -> None:
    if len(name) > _LONGEST_NAME:
        raise SqsError("Message (user) attribute names must be shorter than 256 Bytes")
    if not _NAME.fullmatch(name):
        raise SqsError(
            "Message (user) attributes name can only contain upper and lower score characters, digits, periods, "
            "hyphens and underscores. "
        )
    if name.lower().startswith(_RESERVED) or name.endswith(".") or ".." in name:
        raise SqsError(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. "
            "These strings are reserved for internal use. Additionally, they cannot start or end with '.'."
        )


def _extension(attributes: Mapping[str, Attribute], name: str, most: int) -> float | None:
    attribute = attributes.get(name)
    if attribute is None:
        return None
    text = attribute.string_value or ""
    if not attribute.data_type.startswith("Number") or not 0 <= (number := float(text)) <= most:
        raise invalid(name, text, f"Must be a Number between 0 and {most}.")
    return number
