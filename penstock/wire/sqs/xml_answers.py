"""How the Query protocol writes answers: XML, or for ``Accept: application/json`` JSON of the same structure.

Source: botocore's former service model of SQS; the JSON as recorded of AWS.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from penstock.wire.sqs.errors import SqsError
from penstock.wire.sqs.form import MAP_NAMES
from penstock.wire.sqs.model import Shape

NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
_PROLOG = '<?xml version="1.0"?>'
_LIST_NAMES = {
    "Messages": "Message",
    "QueueUrls": "QueueUrl",
    "queueUrls": "QueueUrl",
    "Failed": "BatchResultErrorEntry",
    "Results": "ListMessageMoveTasksResultEntry",
}
_JSON_NAMES = {"Messages": "messages", "QueueUrls": "queueUrls"}


def xml_answer(action: str, result: Shape | None, request_id: str) -> bytes:
    """Return the XML of an answer, without space between its elements."""
    inner = ""
    if result is not None:
        members = "".join(_members(msgspec.to_builtins(result), action))
        inner = f"<{action}Result>{members}</{action}Result>" if members else f"<{action}Result/>"
    return (
        f'{_PROLOG}<{action}Response xmlns="{NAMESPACE}">{inner}<ResponseMetadata><RequestId>{request_id}</RequestId>'
        f"</ResponseMetadata></{action}Response>"
    ).encode()


def xml_error(error: SqsError, request_id: str) -> bytes:
    """Return the XML of an error."""
    message = error.kind.query_message or str(error)
    return (
        f'{_PROLOG}<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{error.kind.fault}</Type>'
        f"<Code>{error.kind.code}</Code><Message>{escaped(message)}</Message><Detail/></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def json_answer(action: str, result: Shape | None, request_id: str) -> bytes:
    """Return an answer as the JSON that AWS gives for ``Accept: application/json``: absent members are null."""
    members = {} if result is None else {f"{action}Result": _as_json(result)}
    metadata = {"RequestId": request_id}
    return msgspec.json.encode({f"{action}Response": {**members, "ResponseMetadata": metadata}})


def json_error(error: SqsError, request_id: str) -> bytes:
    """Return an error in the same JSON."""
    message = error.kind.query_message or str(error)
    told = {"Code": error.kind.code, "Message": message, "Type": error.kind.fault}
    return msgspec.json.encode({"Error": told, "RequestId": request_id})


def escaped(text: str) -> str:
    """Return text as it stands in XML; a carriage return survives only as a reference (XML 1.0, section 2.11).

    Characters that XML cannot carry become U+FFFD: they occur in errors that repeat what a caller sent.
    """
    if text.isalnum():
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
    return text if text.isprintable() else text.translate(_UNPRINTABLE)


_UNPRINTABLE = dict.fromkeys((*({*range(32)} - {9, 10, 13}), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)), "\ufffd")


def _members(members: Mapping[str, Any], action: str) -> Iterable[str]:
    for name, value in members.items():
        if isinstance(value, list):
            element = _LIST_NAMES.get(name) or f"{action}ResultEntry"
            yield from (_element(element, item, action) for item in value)
        elif name in MAP_NAMES and isinstance(value, dict):
            entry, key_name, value_name = MAP_NAMES[name]
            for key, item in value.items():
                yield f"<{entry}><{key_name}>{escaped(key)}</{key_name}>{_element(value_name, item, action)}</{entry}>"
        else:
            yield _element(name, value, action)


def _element(name: str, value: Any, action: str) -> str:
    if isinstance(value, dict):
        return f"<{name}>{''.join(_members(value, action))}</{name}>"
    if isinstance(value, str):
        return f"<{name}>{escaped(value)}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{text}</{name}>"


def _as_json(value: Any) -> Any:
    if isinstance(value, Shape):
        return {
            _JSON_NAMES.get(field.encode_name, field.encode_name): _member_as_json(
                field.encode_name, getattr(value, field.name)
            )
            for field in structs.fields(value)
        }
    return [_as_json(item) for item in value] if isinstance(value, list) else value


def _member_as_json(name: str, value: Any) -> Any:
    if isinstance(value, dict) and name in MAP_NAMES:
        _, key_name, value_name = MAP_NAMES[name]
        return [{key_name: key, value_name: _as_json(item)} for key, item in value.items()]
    return _as_json(value)
