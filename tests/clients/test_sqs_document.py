"""What docs/sqs.md says in Python, run in order against a real server; and its table of limits, against the code."""

import re
from pathlib import Path
from typing import Any

import pytest

from penstock.wire.sqs import SqsOptions
from penstock.wire.sqs.limits import limits_of
from tests.clients.served import serving

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "sqs.md"


def test_the_examples_run_in_order(folder: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == PAGE.read_text().count("```python")
    names: dict[str, Any] = {}
    with serving(folder) as server:
        for number, block in enumerate(blocks, 1):
            code = block.replace("http://localhost:3000", server.url)
            exec(compile(code, f"{PAGE.name}, example {number}", "exec"), names)


@pytest.mark.parametrize(
    ("row", "field", "strict", "relaxed"),
    [
        ("Between two purges of a queue", "purge_rest_seconds", "60 s", "none"),
        ("Before the name of a deleted queue is free", "name_rest_seconds", "60 s", "none"),
        ("Delay, of a queue and of a message", "delay_seconds", "up to 900 s", "any"),
        ("Retention", "retention_seconds", "60 s to 14 days", "1 s to 14 days"),
        ("Long poll, of a queue and of a receive", "wait_seconds", "up to 20 s", "any"),
        ("Messages in flight in a queue", "max_in_flight", "120,000", "any number, for queues created in this mode"),
        (
            "All the time a message is held after one receive",
            "total_visibility_seconds",
            "12 h, however often it is extended",
            "any",
        ),
    ],
)
def test_the_table_of_limits_is_what_the_server_keeps(row: str, field: str, strict: str, relaxed: str) -> None:
    assert f"| {row} | {strict} | {relaxed} |\n" in PAGE.read_text()
    for mode, words in (("strict", strict), ("relaxed", relaxed)):
        limit = getattr(limits_of(SqsOptions(limits=mode)), field)  # type: ignore[arg-type]
        assert _means(words, limit)


def _means(words: str, limit: int | None) -> bool:
    if words == "none":
        return limit == 0
    if words.startswith("any"):
        return limit is None or limit > 3_000_000_000
    number = int(re.sub(r"\D", "", words.split(" h")[0].split(" to 14")[0]))
    return limit == number * (3600 if " h" in words else 1)
