"""How the log is written, in a process of its own because it is one for the whole process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_serve import served

PROGRAM = """
import logging
from penstock.cli.logs import set_up
set_up({format!r}, "info")
log = logging.getLogger("penstock.server")
log.debug("too little to tell")
log.info("two\\nlines")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
"""


def logged(log_format: str) -> str:
    """Return what is logged where standard error is no terminal."""
    command = [sys.executable, "-c", PROGRAM.format(format=log_format)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=20)
    assert done.stdout == "", "standard output is for what the program says"
    return done.stderr


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_programs_read_an_object_a_line(log_format: str) -> None:
    first, second = map(json.loads, logged(log_format).splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("info", "penstock.server", "two\nlines")
    assert first["at"].endswith("Z")
    assert second["level"] == "error"
    assert "ZeroDivisionError" in second["exception"]


def test_people_read_plain_lines() -> None:
    said = logged("human")
    assert "INFO    penstock.server: two" in said
    assert "ERROR   penstock.server: it failed" in said
    assert "ZeroDivisionError" in said
    assert "too little" not in said


def test_no_secret_is_logged(tmp_path: Path) -> None:
    secrets = ("secret-of-the-key-1", "secret-of-nobody-2", "secret-in-a-url-3", "secret-body-4", "secret-handle-5")
    key, wrong, in_url, body, handle = secrets
    variables = {"PENSTOCK_KEYS": f"AKIDSHOP:{key}", "PENSTOCK_LOG_LEVEL": "debug", "PENSTOCK_ACCESS_LOG": "true"}
    process = None
    with served(tmp_path, **variables) as server:
        process = server.process
        right = {"authorization": f"Bearer AKIDSHOP:{key}"}
        for headers in (right, {"authorization": f"Bearer AKIDSHOP:{wrong}"}, {"cookie": f"session={wrong}"}):
            server.http.post("/v1/queues", json={"queue": "orders"}, headers=headers)
            server.http.post("/v1/queues/orders/messages", json={"messages": [{"body": body}]}, headers=headers)
            server.http.post("/v1/queues/orders/messages", content=f"{{{body}", headers=headers)
            server.http.get(f"/?Action=ListQueues&X-Amz-Signature={in_url}", headers=headers)
            server.http.delete(f"/v1/queues/orders/deliveries/{handle}", headers=headers)
        server.http.get("/v1/queues", auth=("AKIDSHOP", wrong))
        server.stop()
        assert process.stderr is not None
        assert process.stdout is not None
        said = process.stderr.read() + process.stdout.read()
    assert said.count('"penstock.access"') >= 16
    assert not [secret for secret in secrets if secret in said]
