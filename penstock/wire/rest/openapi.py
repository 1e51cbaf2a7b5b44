"""The OpenAPI 3.1 description of REST, made from the route table and from what the types say of themselves."""

import inspect
import re
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct, structs

from penstock.core.filters import MessageFilter
from penstock.core.operations import CreateQueue, Peek
from penstock.wire.rest.problems import STATUS_OF, ProblemDetails
from penstock.wire.rest.routes import ROUTES, PeekByQuery, Route, body_fields, path_fields, reply_type
from penstock.wire.rest.shapes import body_shape

_REFERENCE = "#/components/schemas/"
_SECTION = re.compile(r"^(Attributes|Raises|Args|Returns):$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n(?:        .*)?)*)", re.MULTILINE)
_ABOUT = """Penstock's own interface. Durations are in seconds, instants in milliseconds since the epoch.

A slash in a queue's name is written `%2F` in a path. What is not known, a misspelt field say, is refused, not ignored.
In batches each entry has its own outcome, in the order given, and a status of 200 says only that there are outcomes.
Problems are RFC 9457 problem details; their `code` is stable:
"""

Schema = dict[str, Any]


def document(prefix: str) -> Schema:
    """Return the description of the interface mounted under ``prefix``."""
    wanted = [shape for route in ROUTES for shape in (route.asked, _body(route), _reply(route)) if shape]
    _, schemas = msgspec.json.schema_components([*wanted, ProblemDetails], ref_template=_REFERENCE + "{name}")
    kinds = {kind.__name__: kind for kind in _structs_in({*wanted, ProblemDetails})}
    for name, schema in schemas.items():
        _describe(schema, kinds.get(name))
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        paths.setdefault(prefix + route.path, {})[route.method.lower()] = _operation(route, schemas)
    sent = _reached(schemas, [name for name in schemas if name in _body_names()])
    for name in sent:
        if schemas[name].get("type") == "object" and "properties" in schemas[name]:
            schemas[name]["additionalProperties"] = False
    shown = _reached(schemas, [*_body_names(), *(_reply(route).__name__ for route in ROUTES), "ProblemDetails"])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": version("penstock"),
            "summary": "A durable queue server.",
            "description": f"{_ABOUT}\n" + "\n".join(f"- `{code}` ({status})" for code, status in STATUS_OF.items()),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {name: schemas[name] for name in sorted(shown)},
            "responses": {
                "Problem": {
                    "description": "It was refused, or failed; nothing was changed.",
                    "content": {"application/problem+json": {"schema": {"$ref": f"{_REFERENCE}ProblemDetails"}}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(route: Route, schemas: dict[str, Schema]) -> Schema:
    summary, details, _ = _told(route.asked)
    properties = schemas[route.asked.__name__]["properties"]
    required = {field.name for field in structs.fields(route.asked) if field.required}
    parameters = [_parameter(name, "path", properties, required) for name in path_fields(route)]
    parameters += [_parameter(name, "query", properties, required) for name in route.query]
    answer = {"schema": {"$ref": _REFERENCE + _reply(route).__name__}}
    done = {"description": _told(_reply(route))[0], "content": {"application/json": answer}}
    described: Schema = {
        "operationId": route.asked.__name__,
        "tags": [route.path.split("/")[1]],
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": done, "default": {"$ref": "#/components/responses/Problem"}},
    }
    if details:
        described["description"] = details
    if route.asked is CreateQueue:
        described["responses"]["201"] = done
    body = _body(route)
    if body is not None:
        schema = {"$ref": _REFERENCE + body.__name__}
        described["requestBody"] = {
            "required": any(field.required for field in structs.fields(body)),
            "content": {"application/json": {"schema": schema}},
        }
    return described


def _parameter(name: str, place: str, properties: Schema, required: set[str]) -> Schema:
    schema = dict(properties[name])
    told = schema.pop("description", None)
    if "anyOf" in schema:  # a parameter that is not given is what null is elsewhere
        (schema,) = (each for each in schema["anyOf"] if each.get("type") != "null")
    parameter: Schema = {"name": name, "in": place, "required": name in required, "schema": schema}
    if told:
        parameter["description"] = told
    return parameter


def _body(route: Route) -> type[Any] | None:
    names = body_fields(route)
    return body_shape(route.asked, names) if names else None


def _body_names() -> set[str]:
    return {body.__name__ for body in map(_body, ROUTES) if body is not None}


def _reply(route: Route) -> type[Any]:
    return reply_type(route.asked) if route.shortcut is None else route.shortcut.answers


# -- what types say of themselves ------------------------------------------------------------------------------------


def _describe(schema: Schema, kind: type[Any] | None) -> None:
    """Move what a docstring says of the fields to the fields, and say of integers how large they may be."""
    schema.pop("title", None)
    about: dict[str, str] = {}
    if kind is not None:
        summary, details, about = _told(kind)
        schema["description"] = f"{summary}\n\n{details}" if details else summary
    for name, field in schema.get("properties", {}).items():
        if name in about:
            field["description"] = about[name]
        for each in (field, *field.get("anyOf", ())):
            if each.get("type") == "integer":
                each["format"] = "int64"


def _told(kind: type[Any]) -> tuple[str, str, dict[str, str]]:
    """Return what a docstring says: its summary, the rest of its prose, and of each field."""
    origin = _ORIGINS.get(kind.__name__, kind)
    text = inspect.getdoc(origin) or ""
    prose, *sections = _SECTION.split(text)
    about: dict[str, str] = {}
    for title, section in zip(sections[::2], sections[1::2], strict=True):
        if title == "Attributes":
            for names, told in _ATTRIBUTE.findall(section):
                about.update(dict.fromkeys(names.split(", "), _as_markdown(told)))
    if kind is PeekByQuery:
        about = {**_told(MessageFilter)[2], **_told(Peek)[2], **about}
    summary, _, details = prose.strip().partition("\n\n")
    return _as_markdown(summary), _as_markdown(details), about


def _as_markdown(text: str) -> str:
    return " ".join(text.split()).replace("``None``", "`null`").replace("``", "`")


_ORIGINS = {body.__name__: route.asked for route in ROUTES if (body := _body(route)) is not None}


def _structs_in(kinds: set[Any]) -> set[type[Struct]]:
    """Return every Struct that types are made of."""
    found: set[type[Struct]] = set()
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, Struct):
            if kind not in found:
                found.add(kind)
                waiting += [field.type for field in structs.fields(kind)]
        else:
            waiting += getattr(kind, "__args__", ())
    return found


def _reached(schemas: dict[str, Schema], names: list[str]) -> set[str]:
    """Return the names of all schemas that some lead to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += re.findall(rf'"{_REFERENCE}(\w+)"', msgspec.json.encode(schemas[name]).decode())
    return found
