"""A PgBouncer in transaction mode before the PostgreSQL of this test process; it dies with that process."""

import atexit
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from tests.support import postgres

_PATIENCE_SECONDS = 20
_SETTINGS = """
[databases]
postgres = host=127.0.0.1 port={server_port} dbname=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
"""


@cache
def shared_pooler_url() -> str:
    """Return the store's URL through the one pooler of this test process; four connections serve all its clients."""
    found = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    program = found or postgres.binary("pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="penstock-pgbouncer-"))
    port = postgres.free_port()
    settings = folder / "pgbouncer.ini"
    # with auth_type any the pooler must be told whom it is to the server
    text = _SETTINGS.format(server_port=postgres.shared_server().port, port=port)
    settings.write_text(text.replace("dbname=postgres", f"dbname=postgres user={postgres.USER}"))
    account = postgres.account()
    if account is not None:
        shutil.chown(folder, account)
        shutil.chown(settings, account)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([program, str(settings)], stdout=log, stderr=log, user=account)

    def end() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    ready = [postgres.binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-U", postgres.USER]
    while subprocess.run([*ready, "-d", "postgres"], check=False).returncode:
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"PgBouncer does not serve:\n{(folder / 'log').read_text()}")
        time.sleep(0.05)
    return f"postgresql://{postgres.USER}@127.0.0.1:{port}/postgres?pgbouncer=yes"
