"""The statements of the PostgreSQL store, by name, from the files beside this one."""

import re
from importlib.resources import files


def _load() -> dict[str, str]:
    statements: dict[str, str] = {}
    for file in files(__package__).iterdir():
        if file.name.endswith(".sql"):
            blocks = re.split(r"^-- name: (\w+)$", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
            for name, block in zip(blocks[::2], blocks[1::2], strict=True):
                assert name not in statements, name
                lines = (line.strip() for line in block.splitlines())
                statements[name] = " ".join(line for line in lines if line and not line.startswith("--")).rstrip(";")
    return statements


_STATEMENTS = _load()
_SCHEMA = re.compile(r"\bpenstock\.")


def in_schema(sql: str, schema: str) -> str:
    """Return SQL with ``penstock.`` standing for a schema."""
    return _SCHEMA.sub(f'"{schema}".', sql)


def statements(schema: str) -> dict[str, str]:
    """Return every statement by its name, for a schema."""
    return {name: in_schema(sql, schema) for name, sql in _STATEMENTS.items()}
