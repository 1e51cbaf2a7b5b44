"""The schema: made and brought up to date by whichever process comes first, the others wait for it."""

from importlib.resources import files
from typing import Any

from penstock.core.errors import StoreTooNew, StoreUnavailable
from penstock.store.postgres.connecting import Connection
from penstock.store.postgres.options import Options
from penstock.store.postgres.queries import in_schema

OLDEST_SERVER = 13


async def bring_up_to_date(connection: Connection, options: Options) -> None:
    """Make what is missing.

    Raises:
        StoreTooNew: a newer Penstock has been here.
        StoreUnavailable: the server is too old.
    """
    major = connection.get_server_version().major
    if major < OLDEST_SERVER:
        raise StoreUnavailable(
            f"The server at {options.place} is PostgreSQL {major}.", hint=f"Use {OLDEST_SERVER} or newer."
        )
    steps = _scripts("migrations")
    if await _version(connection, options) == len(steps):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1), 0)", f"penstock schema {options.schema}")
        version = await _version(connection, options)
        if version > len(steps):
            raise StoreTooNew(
                f"Schema {options.schema} at {options.place} has version {version}; this Penstock knows {len(steps)}.",
                hint="Use the newer Penstock, or another schema.",
            )
        if version == len(steps):
            return
        if version == 0:
            if not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", options.schema):
                await connection.execute(f'CREATE SCHEMA "{options.schema}"')
            await connection.execute(f'CREATE TABLE "{options.schema}".schema_version (version integer NOT NULL)')
            await connection.execute(f'INSERT INTO "{options.schema}".schema_version VALUES (0)')
        for script in (*steps[version:], *_scripts("functions")):
            await connection.execute(in_schema(script, options.schema))
        await connection.execute(f'UPDATE "{options.schema}".schema_version SET version = $1', len(steps))


def _scripts(folder: str) -> list[str]:
    found = sorted(files(__package__).joinpath(folder).iterdir(), key=lambda file: file.name)
    return [file.read_text("utf-8") for file in found if file.name.endswith(".sql")]


async def _version(connection: Connection, options: Options) -> int:
    # asked of the catalog: ``to_regclass`` remembers that there was none, past the wait for whoever made it
    if not await connection.fetchval(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relname = 'schema_version'",
        options.schema,
    ):
        return 0
    version: Any = await connection.fetchval(f'SELECT version FROM "{options.schema}".schema_version')
    return int(version)
