"""What the shell completes: commands, options, and names of queues, asked of where the command line leads.

Completing is a courtesy: whatever goes wrong, nothing is offered, and nobody waits for it.
"""

import sys
from typing import Annotated, Literal

import typer

from penstock.cli.gathering import CommandGroup

ASK_SECONDS = 1.0
MOST_OFFERED = 100


def complete_queue(context: typer.Context, incomplete: str) -> list[str]:
    """Return names of queues that begin so."""
    import asyncio

    from penstock.cli.target import target
    from penstock.core.operations import ListQueues

    given = context.params

    async def ask() -> list[str]:
        async with (
            asyncio.timeout(ASK_SECONDS),
            target(given.get("url"), given.get("store"), given.get("key")).broker() as broker,
        ):
            reply = await broker.perform(ListQueues(incomplete, limit=MOST_OFFERED))
            return [queue.name for queue in reply.queues]

    try:
        return asyncio.run(ask())
    except Exception:
        return []


Queue = Annotated[
    str,
    typer.Argument(metavar="QUEUE", help="Name of the queue.", show_default=False, autocompletion=complete_queue),
]

EPILOG = """
\b
  penstock completion bash > ~/.local/share/bash-completion/completions/penstock
  penstock completion zsh > ~/.zfunc/_penstock     # with fpath+=~/.zfunc in ~/.zshrc, before compinit
  penstock completion fish > ~/.config/fish/completions/penstock.fish
"""

app = CommandGroup()


@app.command("completion", epilog=EPILOG)
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="Which shell.", show_default=False)
    ],
) -> None:
    """Print the script by which a shell completes commands, options and queues."""
    sys.stdout.write(_SCRIPTS[shell])


_SCRIPTS = {
    "bash": """\
_penstock_completion() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        _PENSTOCK_COMPLETE=complete_bash "$1" 2>/dev/null))
}
complete -o default -F _penstock_completion penstock
""",
    "zsh": """\
#compdef penstock
_penstock() {
    eval "$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _PENSTOCK_COMPLETE=complete_zsh penstock 2>/dev/null)"
}
if [ "$funcstack[1]" = _penstock ]; then
    _penstock
else
    compdef _penstock penstock
fi
""",
    "fish": """\
complete --command penstock --no-files --arguments "(env _PENSTOCK_COMPLETE=complete_fish \
_TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) penstock 2>/dev/null)"
""",
}
"""What a shell asks the command with is Typer's (``typer.completion``)."""
