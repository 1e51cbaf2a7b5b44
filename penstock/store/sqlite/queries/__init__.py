"""The statements of the SQLite store, by name, from the files beside this one."""

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
                statements[name] = " ".join(line for line in lines if line and not line.startswith("--"))
    return statements


SQL = _load()
"""Statement by name; a name that is not there fails when the module that wants it is imported."""
