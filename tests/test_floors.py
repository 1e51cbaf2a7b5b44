"""The floors of the architecture: lower ones never import higher ones, siblings on one floor are strangers.

And where time and chance may come in: at the broker's one module for it, and at the edges.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = (
    ("core",),
    ("store", "wire"),
    ("broker",),
    ("server", "client", "worker", "console"),
    ("queue_tables",),
    ("config", "connect"),  # what the composition roots read and open: they know the edges
    ("app",),  # a composition root that users write their tasks against
    ("cli", "testing"),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
STORES = ("memory", "sqlite", "redis", "postgres", "sharded", "partitioned", "sealed")

WORLDLY = {
    "asyncio",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "socket",
    "subprocess",
}
WORLDLY |= {"sys", "tempfile", "threading", "time", "uuid"}
"""What core does without: no input or output, no clock, no chance."""

CHANCE = {"random", "secrets", "time", "uuid"}
CHANCE_CALLS = {
    ("os", "urandom"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
MAY_TAKE_CHANCES = {
    "broker/system.py",  # the only clock and the only entropy
    "broker/observed.py",  # how long operations take; no reply depends on it
    "broker/timed.py",  # how long calls of the store take; no reply depends on it
    "store/sqlite/wakeups.py",  # the name of a socket; no reply depends on it
    "store/redis/calls.py",  # the name under which a process asks; no reply depends on it
    "store/redis/blocking.py",  # the same for a thread, and how long it waits for a server
    "store/sealed/sealing.py",  # nonces; no reply depends on them
    "store/sharded/relaying.py",  # the names of a process's entries in outboxes; no reply depends on them
    "store/sharded/membership.py",  # the name of a new store of shards; no reply depends on it
}


def modules(*parts: str) -> list[Path]:
    """Return the modules of some parts of the package, or of all of it."""
    package = ROOT / "penstock"
    found = [path for path in package.rglob("*.py") if not parts or path.relative_to(package).parts[0] in parts]
    return sorted(found)


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "penstock").parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "penstock"))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything imported, wherever in the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            # `from penstock import broker` names a part just as `import penstock.broker` does
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_part_of_the_package_has_a_floor() -> None:
    parts = {part_of(path) for path in modules()} - {"__init__"}
    assert parts <= FLOOR_OF.keys(), "put it on a floor in this file, and in the architecture"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_stay_on_their_floors(path: Path) -> None:
    here = part_of(path)
    wrong = []
    for line, name in imports(ast.parse(path.read_text())):
        package, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if package != "penstock" or there == here or there not in FLOOR_OF:
            continue
        if here == "__init__":
            continue  # see the next test
        if FLOOR_OF[there] > FLOOR_OF[here]:
            wrong.append(
                f"line {line}: {here} is below {there} and must not know it; let {there} hand in what is needed"
            )
        elif FLOOR_OF[there] == FLOOR_OF[here]:
            wrong.append(
                f"line {line}: {here} and {there} are strangers on one floor; what both need belongs below them"
            )
    assert not wrong, "\n".join([name_of(path), *wrong])


def test_the_package_itself_imports_nothing_by_itself() -> None:
    code = "import sys, penstock; print(*(name for name in sys.modules if name.startswith('penstock.')))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert loaded.split() == [], "each part can be had alone: let penstock/__init__.py import what it is asked for"


def test_parts_and_names_are_had_from_the_package_in_any_order() -> None:
    code = (
        "import sys; from penstock import config; assert 'penstock.worker' not in sys.modules\n"
        "from penstock import Penstock, Retry, worker; assert worker.Retry is Retry\n"
        "import penstock; assert not hasattr(penstock, 'Nothing')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", modules("core"), ids=name_of)
def test_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    wrong = [f"line {line}: {name}" for line, name in imports(tree) if name.partition(".")[0] in WORLDLY]
    assert not wrong, "core has no I/O, no clock, no randomness: it is told the instant and the ids: " + ", ".join(
        wrong
    )


@pytest.mark.parametrize("path", modules("core", "store", "wire", "broker"), ids=name_of)
def test_time_and_chance_come_in_at_one_place(path: Path) -> None:
    if name_of(path) in MAY_TAKE_CHANCES:
        return
    tree = ast.parse(path.read_text())
    wrong = [f"line {line}: {name}" for line, name in imports(tree) if name.partition(".")[0] in CHANCE]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if (owner, node.attr) in CHANCE_CALLS:
                wrong.append(f"line {node.lineno}: {owner}.{node.attr}")
    assert not wrong, "equal calls must get equal replies; take the instant or the id as an argument: " + ", ".join(
        wrong
    )


@pytest.mark.parametrize("path", modules("store"), ids=name_of)
def test_stores_do_not_know_each_other(path: Path) -> None:
    here = path.relative_to(ROOT / "penstock" / "store").parts[0]
    others = {f"penstock.store.{store}" for store in STORES if store != here}
    tree = ast.parse(path.read_text())
    # a URL chooses the store, and only the chosen one is imported: inside a function
    lazy = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for line, _ in imports(node)
    }
    wrong = [
        f"line {line}: {name}"
        for line, name in imports(tree)
        if name.startswith(tuple(others)) and not (here == "__init__.py" and line in lazy)
    ]
    assert not wrong, "a store may need a library that is not installed; nobody else imports it: " + ", ".join(wrong)


def test_the_rules_are_noticed_when_broken() -> None:
    tree = ast.parse("from penstock.broker import local\nimport time as t\nfrom penstock import cli\n")
    assert [name for _, name in imports(tree)] == ["penstock.broker.local", "time", "penstock.cli"]
