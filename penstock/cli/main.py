"""The command line: ``penstock``. Commands import what they need when they run."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from penstock.cli import backup, messages, migrate, queues
from penstock.cli.output import print_error, print_json, say
from penstock.cli.target import ConfigFile, Json
from penstock.cli.work import EPILOG as WORK_EPILOG
from penstock.cli.work import work
from penstock.core.errors import PenstockError

FAILED = 1
WRONG_USE = 2
MEANT_WRONG = ("configuration_invalid", "app_not_loaded")
_HELP = {"help_option_names": ["-h", "--help"]}


OF_JOBS = {
    "job": "penstock.cli.jobs",
    "schedule": "penstock.cli.schedules",
    "dlq": "penstock.cli.dead_letters",
    "worker": "penstock.cli.workers",
    "monitor": "penstock.cli.monitor",
    "relay": "penstock.cli.relay",
    "key": "penstock.cli.keys",
    "user": "penstock.cli.users",
}
"""Commands whose modules are imported when asked for: most need the worker framework, which the server does without."""


class Commands(TyperGroup):
    """Runs a command and turns a PenstockError into one line and an exit status."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return [*super().list_commands(ctx), *OF_JOBS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name."""
        if cmd_name not in OF_JOBS:
            return super().get_command(ctx, cmd_name)
        made = import_module(OF_JOBS[cmd_name]).app
        # a group stays one though it has a single command
        command = typer.main.get_group(made) if made.info.help else typer.main.get_command(made)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PenstockError as error:
            print_error(error)
            raise typer.Exit(WRONG_USE if error.code in MEANT_WRONG else FAILED) from None


app = typer.Typer(
    cls=Commands,
    help="A durable queue and its tools. `penstock serve` runs the server; the other commands speak to it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings=_HELP,
)
app.add_typer(queues.app, name="queue")
app.command("send")(messages.send)
app.command("receive")(messages.receive)
app.command("work", epilog=WORK_EPILOG)(work)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("migrate")(migrate.migrate)

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
aweq_checkout_seconds, wq_lock_seconds, and keys
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
    app(prog_name="penstock")
