"""How the Query protocol writes parameters: ``Entry.1.Id=a`` in the query string or a form, lists and maps by number.

Source: smithy.io, "AWS Query protocol"; botocore's former service model of SQS for the names.
"""

import binascii
from types import NoneType
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

from msgspec import Struct, structs

from penstock.wire.http import Request
from penstock.wire.sqs.errors import MALFORMED_QUERY, SqsError, invalid
from penstock.wire.sqs.model import Shape

MAP_NAMES = {
    "Attributes": ("Attribute", "Name", "Value"),
    "MessageAttributes": ("MessageAttribute", "Name", "Value"),
    "MessageSystemAttributes": ("MessageSystemAttribute", "Name", "Value"),
    "Tags": ("Tag", "Key", "Value"),
    "tags": ("Tag", "Key", "Value"),
}
"""What the Query protocol calls an entry of each map, its key and its value.

The member's own name does too: AWS was recorded to read ``MessageAttributes.1.Name``, as templates of API Gateway
have it.
"""

_LIST_NAMES = {
    "AttributeNames": "AttributeName",
    "MessageSystemAttributeNames": "MessageSystemAttributeName",
    "MessageAttributeNames": "MessageAttributeName",
    "TagKeys": "TagKey",
    "AWSAccountIds": "AWSAccountId",
    "Actions": "ActionName",
    "StringListValues": "StringListValue",
    "BinaryListValues": "BinaryListValue",
}
_MOST_PARAMETERS = 5000
_DEEPEST = 8
_MOST_DIGITS = 9

Tree = dict[str, Any]


class _Member(Struct, frozen=True):
    """One member of a shape: its name in Python and on the wire, what it holds, and of what."""

    field: str
    name: str
    kind: type
    item: Any


def parameters_of(request: Request) -> dict[str, str]:
    """Return the parameters of a request, those of its form after those of its query string.

    Raises:
        SqsError: MalformedQueryString.
    """
    parameters = _parsed(request.query)
    is_json = b"json" in request.headers.get(b"content-type", b"")
    if request.body and not is_json:
        parameters.update(_parsed(request.body))
    return parameters


def shape_of(kind: type[Shape], parameters: dict[str, str], action: str) -> Shape:
    """Return the parameters of an action as its shape.

    Raises:
        SqsError: InvalidParameterValue for a number or base64 that is none.
    """
    tree: Tree = {}
    for key, value in parameters.items():
        steps = key.split(".", _DEEPEST)
        node = tree
        for step in steps[:-1]:
            below = node.get(step)
            if not isinstance(below, dict):
                below = node[step] = {}
            node = below
        if not isinstance(node.get(steps[-1]), dict):
            node[steps[-1]] = value
    return _built(kind, tree, action, "")


def _built(kind: type[Shape], tree: Tree, action: str, path: str) -> Shape:
    values: dict[str, Any] = {}
    for member in _MEMBERS[kind]:
        value = _value(member, tree, action, path)
        if value is not None:
            values[member.field] = value
    return kind(**values)


def _value(member: _Member, tree: Tree, action: str, path: str) -> Any:
    if member.kind is list:
        prefix = _LIST_NAMES.get(member.name) or f"{action}RequestEntry"
        found = _numbered(tree.get(prefix, tree.get(member.name)))
        items = [_item(member.item, item, action, f"{path}{prefix}.{number}") for number, item in found]
        return items or None
    if member.kind is dict:
        prefix, key_name, value_name = MAP_NAMES[member.name]
        entries: dict[str, Any] = {}
        for number, entry in _numbered(tree.get(prefix, tree.get(member.name))):
            key = entry.get(key_name) if isinstance(entry, dict) else None
            if isinstance(key, str):
                place = f"{path}{prefix}.{number}.{value_name}"
                entries[key] = _item(member.item, entry.get(value_name, ""), action, place)
        return entries or None
    given = tree.get(member.name)
    return None if given is None or isinstance(given, dict) else _scalar(member.kind, given, path + member.name)


def _item(kind: Any, given: Any, action: str, path: str) -> Any:
    if issubclass(kind, Shape):
        return _built(kind, given if isinstance(given, dict) else {}, action, path + ".")
    return _scalar(kind, "" if isinstance(given, dict) else given, path)


def _scalar(kind: type, text: str, path: str) -> Any:
    if kind is int:
        if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
            raise invalid(path, text, "Must be an integer.")
        return int(text)
    if kind is bytes:
        try:
            return binascii.a2b_base64(text.encode(), strict_mode=True)
        except ValueError:
            raise invalid(path, text, "Must be Base64-encoded binary data.") from None
    return text


def _numbered(node: Any) -> list[tuple[int, Any]]:
    """Return the entries of a list or map in order; a single one may stand without a number, as boto 2 sends it.

    An empty text is an empty list, as botocore sends it.
    """
    if not isinstance(node, dict):
        return [(1, node)] if node else []
    found = [
        (int(number), item)
        for number, item in node.items()
        if number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
    ]
    return sorted(found, key=lambda pair: pair[0]) if found else [(1, node)]


def _parsed(encoded: bytes) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(encoded.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
        )
    except ValueError:
        raise SqsError("The query string contains a syntax error.", kind=MALFORMED_QUERY) from None


def _members(kind: type[Shape]) -> tuple[_Member, ...]:
    members = []
    for field in structs.fields(kind):
        given = next((each for each in get_args(field.type) if each is not NoneType), field.type)
        origin = get_origin(given)
        members.append(_Member(field.name, field.encode_name, origin or given, get_args(given)[-1] if origin else None))
    return tuple(members)


_MEMBERS = {kind: _members(kind) for kind in Shape.__subclasses__()}
