"""The command line: ``penstock``. Commands import what they need when they run."""

import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from penstock.cli.gathering import Group
from penstock.cli.output import Json, print_error, print_json, say
from penstock.cli.statuses import FAILED, status_of

_HELP = {"help_option_names": ["-h", "--help"]}


class Elsewhere(NamedTuple):
    """A command in a module of its own, which is imported when it is asked for. ``about`` is said in the list of
    commands; ``name``: of the function, or ``app`` for a group of commands."""

    module: str
    about: str
    name: str = "app"


ELSEWHERE = {
    "send": Elsewhere("message", "Send messages.", "send"),
    "receive": Elsewhere("message", "Receive messages and print their bodies.", "receive"),
    "queue": Elsewhere("queues", "Queues: make, change, watch and empty them; their tags, policies and groups."),
    "message": Elsewhere("message", "Messages: send, receive, look without receiving, change, redrive."),
    "work": Elsewhere("work", "Run the jobs of an app until SIGTERM or Ctrl-C."),
    "job": Elsewhere("jobs", "Jobs: list, show, send, retry and cancel them."),
    "schedule": Elsewhere("schedules", "Schedules: list, pause, resume, trigger and remove them."),
    "dlq": Elsewhere("dead_letters", "Why jobs failed for good; retry or delete them."),
    "worker": Elsewhere("workers", "The workers that live: list and show them, have one drain."),
    "top": Elsewhere("top", "Show what moves, live: queues with rates and ages, workers, the jobs they run."),
    "tail": Elsewhere("tail", "Follow what is sent to a queue, received from it and ended."),
    "bench": Elsewhere("bench", "Load a server and say what it does, beside a floor that only answers"),
    "monitor": Elsewhere("monitor", "Show live what queues, workers and jobs do."),
    "relay": Elsewhere("relay", "Send what is in the outboxes of an app."),
    "backup": Elsewhere("backup", "Copy a SQLite store as it is now, while servers and workers go on."),
    "restore": Elsewhere("restore", "Put a backup of a SQLite store in its place."),
    "migrate": Elsewhere("migrate", "Carry everything a store keeps to another one."),
    "encryption": Elsewhere("encryption", "Encryption of content at rest: make keys, see what is under which."),
    "shard": Elsewhere("shards", "Shards: the servers that one store lives on; add some while it is in use."),
    "key": Elsewhere("keys", "Make, list, rotate and revoke keys"),
    "user": Elsewhere("users", "Make, list, change and delete users of the console."),
    "audit": Elsewhere("audit", "Show the audit log, the latest first."),
    "completion": Elsewhere("completing", "Print the script by which a shell completes commands, options and queues."),
}
"""They come in this order."""


class Commands(Group):
    """Runs a command and turns a PenstockError into one line and an exit status."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return [*super().list_commands(ctx), *ELSEWHERE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name."""
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        return loaded(cmd_name)

    def about(self, ctx: Any, name: str) -> str:
        """Return what is said of a command; none is imported for that."""
        return ELSEWHERE[name].about if name in ELSEWHERE else super().about(ctx, name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        from penstock.core.errors import PenstockError

        try:
            return super().invoke(ctx)
        except PenstockError as error:
            print_error(error)
            raise typer.Exit(status_of(error.code)) from None


@cache
def loaded(name: str) -> Any:
    """Return the command of a module of its own."""
    found = ELSEWHERE[name]
    app: Any = import_module(f"penstock.cli.{found.module}").app
    # a group stays one though it has a single command
    command: Any = typer.main.get_group(app) if app.info.help else typer.main.get_command(app)
    if found.name != "app":
        command = command.commands[found.name]
    command.name = name
    return command


app = typer.Typer(
    cls=Commands,
    help="A durable queue and its tools. `penstock serve` runs the server; the other commands speak to it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings=_HELP,
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback()
def _options(
    is_version_asked: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Say which version this is.")
    ] = False,
) -> None:
    pass


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file (TOML). [default: penstock.toml, if there is one]"),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1, this machine only]")]
Port = Annotated[int | None, typer.Option(help="TCP port; 0: any free one. [default: 3000, or $PORT]")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="URL", help="sqlite:///file.db or memory://. [default: penstock.db in the data directory]"
    ),
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="Serve everybody, whatever the address and the keys.")]


_SERVE_EPILOG = """
\b
Settings come from the configuration file, then from PENSTOCK_<SETTING> in the
environment, then from these flags; the later wins. Only in the first two:
max_body_bytes, read_seconds, idle_seconds, drain_seconds, log_level,
access_log, traces, aweq_checkout_seconds, wq_lock_seconds, and keys
(PENSTOCK_KEYS=id:secret,id:secret:account). Only in the file: queues.
docs/configuration.md has all of it.

\b
  port = 3000
  data_directory = "/var/lib/penstock"
  [[keys]]
  access_key_id = "AKIDEXAMPLE"
  secret = "a long secret"
  account = "111122223333"
  [queues.orders]
  visibility_timeout_seconds = 60
  dead_letter_queue = "orders-dead"
  max_receive_count = 5
  [queues.orders-dead]
"""


@app.command(epilog=_SERVE_EPILOG)
def serve(
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    processes: Annotated[
        int | None, typer.Option(help="How many processes serve the port, such as one for each core. [default: 1]")
    ] = None,
    store: StoreUrl = None,
    data_directory: Annotated[
        str | None, typer.Option(help="Where the default store is; created when missing. [default: data]")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(metavar="sqs|aweq|wq", help="Who answers at the root. [default: sqs]")
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(metavar="strict|relaxed", help="AWS's limits and cool-downs, or wider. [default: strict]"),
    ] = None,
    no_auth: NoAuth = False,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="What queue URLs begin with. [default: as each request says]")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Region of requests that name none. [default: us-east-1]")] = None,
    account: Annotated[
        str | None, typer.Option(help="Account of callers without one, twelve digits. [default: 000000000000]")
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="PEM file; with --tls-key: HTTPS.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="PEM file.")] = None,
    log_format: Annotated[
        str | None, typer.Option(metavar="auto|human|json", help="[default: auto: human on a terminal]")
    ] = None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    from penstock import config as configuration

    try:
        from penstock.cli.serve import serve as run
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f"{error.name} is not installed: pip install 'penstock[server]'.") from None

    flags = {
        "host": host,
        "port": port,
        "processes": processes,
        "store": store,
        "data_directory": data_directory,
        "dialect": dialect,
        "limits": limits,
        "auth": "none" if no_auth else None,
        "public_url": public_url,
        "region": region,
        "account": account,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "log_format": log_format,
    }
    raise typer.Exit(run(configuration.load(flags, file=config)))


@app.command()
def check(
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    store: StoreUrl = None,
    no_auth: NoAuth = False,
    as_json: Json = False,
) -> None:
    """Check that the server could run: configuration, store, disk, port, keys. Says what to do."""
    from penstock.cli.check import check as run

    flags = {"host": host, "port": port, "store": store, "auth": "none" if no_auth else None}
    if not run(flags, config, as_json=as_json):
        raise typer.Exit(FAILED)


@app.command()
def capacity(
    messages_per_second: Annotated[float, typer.Option("--rate", help="Messages a second at the busiest.")],
    store: Annotated[str, typer.Option(metavar="sqlite|redis|postgresql", help="Where they are kept.")] = "sqlite",
    body_bytes: Annotated[int, typer.Option(help="Bytes of a message's body.")] = 200,
    outage_days: Annotated[float, typer.Option(help="So long consumers may be away.")] = 1,
    replicas: Annotated[int, typer.Option(help="Copies besides the first.")] = 0,
    batch: Annotated[int, typer.Option(help="Messages in a request, 1 to 10.")] = 1,
    room_gib: Annotated[float, typer.Option(help="Memory (redis) or disk (others) of a store machine, GiB.")] = 16,
    as_json: Json = False,
) -> None:
    """Reckon what a load takes: bandwidth, memory or disk, cores, shards, days of outage survived."""
    from penstock.cli import capacity as reckoning
    from penstock.cli.output import print_json, print_table, say

    load = reckoning.Load(
        store=store,
        messages_per_second=messages_per_second,
        body_bytes=body_bytes,
        outage_days=outage_days,
        replicas=replicas,
        batch=batch,
        room_gib=room_gib,
    )
    costs = reckoning.measured()
    plan = reckoning.plan(load, costs)
    if as_json:
        print_json(plan)
        return
    print_table(("what", "how much"), reckoning.rows(load, plan, costs), numbers=("how much",))
    for warning in plan.warnings:
        say(f"warning: {warning}")
    say(f"From what was measured on {costs.measured_at}: {costs.machine}. Yours will differ: docs/scaling.md.")


@app.command()
def version(as_json: Json = False) -> None:
    """Tell the versions of Penstock and of what it runs on."""
    import platform
    from importlib.metadata import version as version_of

    import apsw

    versions = {
        "penstock": version_of("penstock"),
        "python": platform.python_version(),
        "sqlite": apsw.sqlitelibversion(),
    }
    if as_json:
        print_json(versions)
    else:
        say("penstock {penstock} (Python {python}, SQLite {sqlite})".format(**versions))


def main() -> None:
    """Run the command line of this process."""
    if "_PENSTOCK_COMPLETE" in os.environ:
        import_module("typer.completion").completion_init()
    app(prog_name="penstock")
