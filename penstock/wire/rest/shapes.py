"""What REST takes, derived from the types: JSON bodies, query parameters, and the gates that let no typo through.

A gate is a second shape of the same body that knows nothing but the names and the range of integers. Core types ignore
what they do not know, which is right for stored values; a caller's misspelt field must not be ignored.
"""

import re
import types
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from msgspec import NODEFAULT, Meta, Raw, Struct, UnsetType, defstruct, structs

from penstock.core.errors import InvalidRequest

_Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_gates: dict[type, type] = {}


def body_shape(asked: type[Any], names: tuple[str, ...]) -> type[Any]:
    """Return a Struct of those fields of ``asked`` that the body carries, in their order."""
    if names == asked.__struct_fields__:
        return asked
    fields = [_copied(field) for field in structs.fields(asked) if field.name in names]
    return defstruct(f"{asked.__name__}Body", fields, frozen=True, omit_defaults=True)


def _copied(field: structs.FieldInfo) -> Any:
    if field.default is not NODEFAULT:
        return (field.name, field.type, field.default)
    if field.default_factory is not NODEFAULT:
        return (field.name, field.type, msgspec.field(default_factory=field.default_factory))
    return (field.name, field.type)


def gate(kind: Any) -> Any:
    """Return the gate of a type: a Struct that refuses unknown fields, or Raw where there is nothing to check."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        if kind not in _gates:
            config = kind.__struct_config__
            fields = [(field.encode_name, gate(field.type), Raw()) for field in structs.fields(kind)]
            _gates[kind] = defstruct(
                f"{kind.__name__}Gate", fields, forbid_unknown_fields=True, tag=config.tag, tag_field=config.tag_field
            )
        return _gates[kind]
    if kind is int:
        return _Int64
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        members = [gate(each) for each in arguments if each not in (UnsetType, type(None))]
        if all(member is Raw for member in members):
            return Raw
        # a union of texts and integers would need both checked; there is none, and a test would find it
        return Union[(*members, None)]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = gate(arguments[1])
        return Raw if inner is Raw else dict[str, inner]  # type: ignore[valid-type]
    if origin is tuple:
        inner = gate(arguments[0])
        return Raw if inner is Raw else list[inner]  # type: ignore[valid-type]
    return Raw


# -- JSON ------------------------------------------------------------------------------------------------------------


def json_reader(shape: type[Any]) -> Callable[[bytes], Any]:
    """Return what reads a JSON body strictly. It raises InvalidRequest that names the field."""
    read, check = msgspec.json.Decoder(shape).decode, msgspec.json.Decoder(gate(shape)).decode

    def reader(body: bytes) -> Any:
        try:
            value = read(body)
            check(body)
            return value
        except msgspec.ValidationError as error:
            raise _misfit(_clearest(error, check, body), shape) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(
                f"The body is not JSON: {_lowered(str(error).removeprefix('JSON is malformed: '))}.",
                hint="Send one JSON object in UTF-8.",
            ) from None

    return reader


def _clearest(error: msgspec.ValidationError, check: Callable[[bytes], Any], body: bytes) -> str:
    """Return what to tell: a required field is often missing because its name is misspelt."""
    try:
        check(body)
    except msgspec.ValidationError as stricter:
        return str(stricter)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # a text that the stricter reader looks into and the other skipped
    return str(error)


_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<key>key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?:missing required|unknown) field `(.*)`", re.DOTALL)


def _misfit(message: str, shape: type[Any]) -> InvalidRequest:
    place = _PLACE.match(message)
    assert place is not None
    what, path = place["what"], (place["path"] or "").lstrip(".")
    named = _NAMED.search(what)
    hint = "See the description of this call in openapi.json."
    if named:
        path = f"{path}.{named[1]}" if path else named[1]
        close = get_close_matches(named[1], _names(shape), 1) if "unknown" in what else []
        hint = f"Did you mean {close[0]}?" if close else hint
    where = f"{path[:200]}: " if path else "The body: "
    return InvalidRequest(f"{where}{_lowered(what[:200])}.", hint=hint, field=path[:200] or None)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _names(kind: Any) -> set[str]:
    """Return every field name in a type and in what it is made of."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        found = set(kind.__struct_fields__)
        for field in structs.fields(kind):
            found |= _names(field.type)
        return found
    return {name for argument in get_args(kind) for name in _names(argument)}


# -- query parameters ------------------------------------------------------------------------------------------------


def query_reader(asked: type[Any], names: tuple[str, ...]) -> Callable[[bytes], dict[str, Any]]:
    """Return what reads a query's parameters strictly. It raises InvalidRequest that names the parameter."""
    parsers = {field.name: _parser(field.type) for field in structs.fields(asked) if field.name in names}
    required = [field.name for field in structs.fields(asked) if field.name in names and field.required]

    def reader(query: bytes) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, text in _pairs(query):
            parser = parsers.get(name)
            if parser is None:
                close = get_close_matches(name, parsers, 1)
                raise InvalidRequest(
                    f"There is no query parameter {name[:100]!r} here.",
                    hint=f"Did you mean {close[0]}?" if close else _choice(parsers),
                    field=name[:100],
                )
            if name in found:
                raise InvalidRequest(f"{name} is given twice.", hint="Give it once.", field=name)
            found[name] = parser(name, text)
        for name in required:
            if name not in found:
                raise InvalidRequest(f"The query parameter {name} is missing.", hint=f"Add ?{name}=...", field=name)
        return found

    return reader


def _pairs(query: bytes) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidRequest("The query is not percent-encoded UTF-8.", hint="Encode what is not ASCII.") from None


def _choice(names: Mapping[str, Any]) -> str:
    return f"There are {', '.join(names)}." if names else "This call takes none."


def _parser(kind: Any) -> Callable[[str, str], Any]:
    members = [each for each in get_args(kind) if each is not type(None)] or [kind]
    (only,) = members
    return _PARSERS[only] if only in _PARSERS else lambda name, text: _one_of(only, name, text)


def _text(name: str, text: str) -> str:
    return text


def _integer(name: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or not -(1 << 63) <= int(text) < 1 << 63:
        raise InvalidRequest(f"{name} must be a whole number.", hint=f"For example {name}=10.", field=name)
    return int(text)


def _truth(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidRequest(f"{name} must be true or false.", hint=f"For example {name}=true.", field=name)
    return text == "true"


def _one_of(kind: type[Enum], name: str, text: str) -> Enum:
    try:
        return kind(text)
    except ValueError:
        values = ", ".join(str(member.value) for member in kind)
        raise InvalidRequest(f"{name} cannot be {text[:100]!r}.", hint=f"It is one of {values}.", field=name) from None


_PARSERS: dict[Any, Callable[[str, str], Any]] = {str: _text, int: _integer, bool: _truth}
