"""The command line as a whole: what it says of itself, how soon, and what shells complete."""

import os
import resource
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
import typer

from penstock.cli.main import ELSEWHERE, app
from tests.cli.test_commands import Terminal, _elsewhere, _made

__all__ = ["_elsewhere"]

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "from penstock.cli.main import main; main()")


def test_the_reference_is_what_the_parser_says() -> None:
    loader = SourceFileLoader("cli_reference", str(ROOT / "scripts" / "cli-reference"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module := module_from_spec(spec))
    finally:
        sys.dont_write_bytecode = before
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == module.reference(), "run `make reference`"


def test_every_command_and_option_is_explained() -> None:
    silent = []

    def look(command: Any, path: str) -> None:
        if not command.help:
            silent.append(path)
        for name, each in getattr(command, "commands", {}).items():
            look(each, f"{path} {name}")
        silent.extend(
            f"{path} {each.opts}"
            for each in command.params
            if not (each.help or getattr(each, "show_default", None)) and each.name not in ("tags", "body")
        )

    root: Any = typer.main.get_command(app)
    for name in root.list_commands(None):
        look(root.get_command(None, name), name)
    assert not silent


@pytest.mark.parametrize("name", list(ELSEWHERE))
def test_the_list_of_commands_says_what_the_command_says(name: str) -> None:
    command = typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined]
    assert command.help.split("\n\n")[0].startswith(ELSEWHERE[name].about.rstrip("."))


def test_help_costs_little() -> None:
    """Less than 300 ms of a processor, where nothing else runs; here with room for a machine that is busy."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([*COMMAND, "--help"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert all(f"  {name} " in said for name in ELSEWHERE)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6


def test_it_says_which_version_it_is() -> None:
    said = subprocess.run([*COMMAND, "--version"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert said == f"penstock {version('penstock')}\n"


def test_help_imports_nothing_that_works() -> None:
    code = "import sys, penstock.cli.main; print({'asyncio', 'rich', 'msgspec'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert said == "set()\n"


def test_a_shell_completes_commands_and_names_of_queues(tmp_path: Path) -> None:
    import asyncio

    store = f"sqlite:////{tmp_path}/penstock.db"
    asyncio.run(_made(store))
    for queue in ("orders", "others", "rest"):
        Terminal("--store", store)("queue", "create", queue)
    Path("penstock").write_text(f"#!{sys.executable}\nfrom penstock.cli.main import main\nmain()\n")
    Path("penstock").chmod(0o755)
    script = Terminal()("completion", "bash")
    asked = [
        "penstock message re",
        f"penstock queue show --store {store} o",
        "penstock queue show --store sqlite:///no o",
    ]
    for typed in asked:
        script += f"COMP_WORDS=({typed}); COMP_CWORD={len(typed.split()) - 1}\n"
        script += '_penstock_completion penstock; echo "${COMPREPLY[*]}"\n'
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    said = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, env=environment)
    offered = [line.split() for line in said.stdout.splitlines()]
    assert offered == [["receive", "reschedule", "redrive"], ["orders", "others"], []]


def test_each_shell_has_a_script() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_PENSTOCK_COMPLETE" in Terminal()("completion", shell)
    Terminal().fails("completion", "tcsh", status=2)
