"""docs/features.md says which test proves what: each is there, and what is not proven says what it waits for."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "features.md"
TEXT = PAGE.read_text()
ROWS = re.findall(r"^\| .* \| (.*) \|$", TEXT, re.MULTILINE)
PROOF = re.compile(r"\[(test_\w+)\]\((\S+\.py)\)")
PARTS = set(re.findall(r"\*(\w[\w ]+)\*", TEXT.partition("\n## ")[0]))


def test_every_test_that_is_named_is_in_the_file_that_is_linked() -> None:
    proofs = PROOF.findall(TEXT)
    assert len(proofs) > 50, "the links are read"
    missing = [
        f"{file}: {name}"
        for name, file in proofs
        if not re.search(rf"^(?:async )?def {name}\(", (PAGE.parent / file).read_text(), re.MULTILINE)
    ]
    assert not missing


def test_every_row_is_proven_or_says_what_it_waits_for() -> None:
    silent = [row for row in ROWS if row != "Proven by" and "not yet" not in row and not PROOF.search(row)]
    assert not silent


def test_what_a_row_waits_for_is_a_part_that_is_planned() -> None:
    assert len(PARTS) == 8
    waited_for = {
        part for row in ROWS for found in re.findall(r"not yet: ([\w, ]+)", row) for part in found.split(", ")
    }
    assert waited_for
    assert waited_for <= PARTS
