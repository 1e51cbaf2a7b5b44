"""The statements of ``queries.sql``, by name."""

import re
from importlib.resources import files


def _load() -> dict[str, str]:
    text = files(__package__).joinpath("queries.sql").read_text("utf-8")
    blocks = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)[1:]
    return {
        name: " ".join(line.strip() for line in block.splitlines() if line and not line.startswith("--"))
        for name, block in zip(blocks[::2], blocks[1::2], strict=True)
    }


SQL = _load()
"""Statement by name; a name that is not there fails when the module that wants it is imported."""
