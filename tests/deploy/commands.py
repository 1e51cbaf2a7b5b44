"""Reads a command line of ours with the parser that will read it, and does nothing."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from penstock import config as configuration
from penstock.cli.main import app


def parsed(arguments: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the command that ``penstock ARGUMENTS`` would run and its options. Raises where that would be refused."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("penstock", [*arguments])
    names: list[str] = []
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]  # where a group keeps what it has not read
        name, command, rest = command.resolve_command(context, rest)
        names.append(name)
        context = command.make_context(name, rest, parent=context)
    return " ".join(names), dict(context.params)


def parsed_line(line: str) -> tuple[str, dict[str, Any]]:
    """As ``parsed``, for a line whose first word is the program's path."""
    program, *arguments = shlex.split(line)
    assert Path(program).name == "penstock"
    return parsed(arguments)


def settings_of(flags: Mapping[str, Any], variables: Mapping[str, str]) -> configuration.Settings:
    """Return the settings that a server has with flags and variables, by the loader that will read them."""
    names = configuration.Settings.__struct_fields__
    set_by_flags = {name: value for name, value in flags.items() if name in names}
    settings = configuration.load(set_by_flags, environment=variables)
    configuration.check_exposure(settings)
    return settings
