"""The house rules that a machine can check. Each failure says what is wrong where."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST_MODULE = 400
TOO_LONG_ON_PURPOSE: frozenset[str] = frozenset()
NAMES_THAT_SAY_NOTHING = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:work|root|tmp/lab)/")
REGISTRY_HOST = re.compile(r"(?:pypi|pythonhosted|npmjs|crates|golang|debian)\.(?:org|com|io)\b")
MARKDOWN_LINK = re.compile(r"\]\(([^()\s]+)\)")
FENCED_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _our_files(*suffixes: str) -> list[Path]:
    """Return the files that are in the repository or would be at the next commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = [ROOT / name for name in sorted(set(listed.split("\0"))) if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def _modules() -> list[Path]:
    return [path for path in _our_files(".py") if path.is_relative_to(ROOT / "penstock")]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_module_is_too_long_to_read_in_one_sitting() -> None:
    lengths = {_name(path): len(path.read_text().splitlines()) for path in _modules()}
    too_long = {name: length for name, length in lengths.items() if length > LONGEST_MODULE}
    assert set(too_long) == TOO_LONG_ON_PURPOSE, f"over {LONGEST_MODULE} lines, split by operation group: {too_long}"


def test_every_module_says_what_lives_in_it() -> None:
    silent = [_name(path) for path in _modules() if path.read_text().strip() and not _docstring(path)]
    assert not silent, "no header docstring"


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text()))


def test_no_module_has_a_name_that_says_nothing() -> None:
    parts = {part for path in _modules() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not parts & NAMES_THAT_SAY_NOTHING


def test_no_file_names_a_path_of_one_machine_or_the_host_of_a_registry() -> None:
    found = []
    for path in _our_files():
        text = path.read_text(errors="replace")
        for pattern in (MACHINE_PATH, REGISTRY_HOST):
            found += [f"{_name(path)}: {match.group()}" for match in pattern.finditer(text)]
    assert not found


def test_every_make_target_is_explained_in_make_help() -> None:
    targets = re.findall(r"^([a-z][\w-]*):(?!=)(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert not [target for target, rest in targets if "  ## " not in rest], "no ## comment"


def test_every_relative_link_in_the_documents_leads_somewhere() -> None:
    broken = []
    for path in _our_files(".md"):
        for target in MARKDOWN_LINK.findall(FENCED_CODE.sub("", path.read_text())):
            file, _, _ = target.partition("#")
            if file and "://" not in file and not file.startswith("mailto:") and not (path.parent / file).exists():
                broken.append(f"{_name(path)}: {target}")
    assert not broken


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_package_we_ask_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for listed in (project["project"]["optional-dependencies"], project["dependency-groups"]):
        wanted += [entry for entries in listed.values() for entry in entries if isinstance(entry, str)]
    names = {_package(entry) for entry in wanted} - {"penstock"}
    pinned = {_package(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert not names - pinned, "run `make lock`"


def _package(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match.group()).lower()
