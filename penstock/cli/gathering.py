"""How commands share options: one parameter of a command may stand for several options that together make a value.

The function that makes the value says which options: ``At = Annotated[Target, Gathered(target)]``. A command with a
parameter ``at: At`` has the options of ``target`` and is called with what it returns.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import typer
from typer.core import TyperGroup

Function = TypeVar("Function", bound=Callable[..., Any])


class Gathered(NamedTuple):
    """Marks a parameter that ``make`` makes of its own parameters, which are options of the command.

    ``order``: behind the command's own options, those with a lower one first.
    """

    make: Callable[..., Any]
    order: int = 0


class Group(TyperGroup):
    """A group that tells of each command in a whole sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.about(ctx, name)) for name in self.list_commands(ctx)])

    def about(self, ctx: Any, name: str) -> str:
        """Return the first sentence that is said of a command."""
        command = self.get_command(ctx, name)
        text = " ".join(((command and command.help) or "").split("\n\n")[0].split())
        return text.partition(". ")[0].removesuffix(".") + "."


class CommandGroup(typer.Typer):
    """Commands that belong together, or a single one without ``help``; their parameters may be gathered."""

    def __init__(self, help: str | None = None) -> None:
        super().__init__(
            cls=Group, help=help, no_args_is_help=help is not None, rich_markup_mode=None, add_completion=False
        )

    def command(self, name: str | None = None, **about: Any) -> Callable[[Function], Function]:
        """Register a function as a command."""
        register = super().command(name, **about)

        def decorate(function: Function) -> Function:
            register(expanded(function))
            return function

        return decorate


def expanded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command in which every gathered parameter is replaced by the options it is made of; they come last."""
    own, shared = [], []
    orders: dict[str, int] = {}
    made_of: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        marks = getattr(parameter.annotation, "__metadata__", ())
        mark = next((each for each in marks if isinstance(each, Gathered)), None)
        if mark is None:
            own.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        options = inspect.signature(mark.make, eval_str=True).parameters
        made_of[parameter.name] = (mark.make, tuple(options))
        shared += [each.replace(kind=each.KEYWORD_ONLY) for each in options.values()]
        orders |= dict.fromkeys(options, mark.order)

    @wraps(function)
    def run(**given: Any) -> Any:
        for name, (make, options) in made_of.items():
            given[name] = make(**{option: given.pop(option) for option in options})
        return function(**given)

    parameters = [*own, *sorted(shared, key=lambda each: orders[each.name])]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    del run.__wrapped__
    return run
