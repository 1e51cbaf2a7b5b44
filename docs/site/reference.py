"""The pages that the code writes of itself: all operations, all errors. Made with the site, and so never behind."""

import importlib
import inspect
import pkgutil
from typing import Any

import penstock
from penstock.core.errors import PenstockError, Problem, error_types
from penstock.wire.rest.openapi import document
from penstock.wire.rest.problems import STATUS_OF
from penstock.wire.sqs.errors import INTERNAL_FAILURE, SqsError, of_problem

PREFIX = "/v1"
SCHEMA = "#/components/schemas/"
Schema = dict[str, Any]

OPERATIONS = """\
# Operations

Everything Penstock can be asked, as REST has it; `/v1/openapi.json` of a server says the same to programs. What is not
in the path or the query is a field of the JSON body. Durations are in seconds, instants in milliseconds since the
epoch. What can go wrong is in [errors](errors.md).
"""

ERRORS = """\
# Errors

Every error has a stable code, says whose fault it is, and hints at what to do. Programs go by the code: REST answers it
as `code` of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem details, the command line in one line, SQS in
words of its own. After an error by the caller's fault nothing has changed.

| Code | Fault | REST | SQS | Means |
|---|---|---|---|---|"""


def operations() -> str:
    """Return the page of all operations and the types that they are made of."""
    described = document(PREFIX)
    schemas: dict[str, Schema] = described["components"]["schemas"]
    lines = [OPERATIONS]
    for path, methods in sorted(described["paths"].items()):
        for method, said in methods.items():
            lines += _operation(f"{method.upper()} {path}", said, schemas)
    lines += ["## Types", ""]
    bodies = {
        said["requestBody"]["content"]["application/json"]["schema"]["$ref"].removeprefix(SCHEMA)
        for methods in described["paths"].values()
        for said in methods.values()
        if "requestBody" in said
    }
    for name, schema in schemas.items():
        if name not in bodies:
            lines += [f"### {name}", "", *_words(schema), *_fields(schema)]
    return "\n".join(lines).rstrip() + "\n"


def _operation(address: str, said: Schema, schemas: dict[str, Schema]) -> list[str]:
    answer = said["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].removeprefix(SCHEMA)
    lines = [f"## {said['operationId']}", "", f"`{address}` answers {_link(answer)}.", "", said["summary"], ""]
    if "description" in said:
        lines += [said["description"], ""]
    rows = [
        (each["name"], each["in"], _type(each["schema"]), each["required"], each.get("description", ""))
        for each in said["parameters"]
    ]
    if "requestBody" in said:
        body = schemas[said["requestBody"]["content"]["application/json"]["schema"]["$ref"].removeprefix(SCHEMA)]
        required = body.get("required", ())
        rows += [
            (name, "body", _type(field), name in required, field.get("description", ""))
            for name, field in body.get("properties", {}).items()
        ]
    if rows:
        lines += ["| Field | In | Type | Meaning |", "|---|---|---|---|"]
        for name, place, kind, is_required, meaning in rows:
            lines.append(f"| `{name}`{' (required)' * is_required} | {place} | {kind} | {_cell(meaning)} |")
        lines.append("")
    return lines


def _words(schema: Schema) -> list[str]:
    lines = [schema["description"], ""] if schema.get("description") else []
    if "enum" in schema:
        lines += [f"One of {', '.join(f'`{each}`' for each in schema['enum'])}.", ""]
    if "anyOf" in schema:
        lines += [f"One of {_type(schema)}.", ""]
    return lines


def _fields(schema: Schema) -> list[str]:
    properties = schema.get("properties", {})
    if not properties:
        return []
    required = schema.get("required", ())
    lines = ["| Field | Type | Meaning |", "|---|---|---|"]
    for name, field in properties.items():
        meaning = _cell(field.get("description", ""))
        lines.append(f"| `{name}`{' (required)' * (name in required)} | {_type(field)} | {meaning} |")
    return [*lines, ""]


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].removeprefix(SCHEMA))
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(schema['additionalProperties'])}"
    return str(kind)


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def errors() -> str:
    """Return the page of all error codes."""
    lines = [ERRORS]
    for module in pkgutil.walk_packages(penstock.__path__, "penstock."):
        importlib.import_module(module.name)  # so that all their errors exist
    for code, kind in sorted(error_types().items()):
        if kind is SqsError or not kind.__module__.startswith("penstock."):
            continue
        status = STATUS_OF.get(code)
        in_sqs = _in_sqs(code) if status else ""
        lines.append(f"| `{code}` | {kind.fault} | {status or ''} | {in_sqs} | {_meaning(kind)} |")
    lines += [
        "",
        "A code without a status is one of the command line, of workers or of this machine.",
    ]
    return "\n".join(lines) + "\n"


def _in_sqs(code: str) -> str:
    kind = of_problem(Problem(code, ""), "").kind
    return "" if kind is INTERNAL_FAILURE and code != PenstockError.code else f"`{kind.code}`"


def _meaning(kind: type[PenstockError]) -> str:
    text = inspect.getdoc(kind) or ""
    if kind is PenstockError:
        return "Something that nobody foresaw; the log of the server tells more."
    return _cell(text.replace("``None``", "`null`").replace("``", "`"))


PAGES = {"reference/operations.md": operations, "reference/errors.md": errors}
"""By address in the site."""
