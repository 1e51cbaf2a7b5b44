"""The documented calls of AweQ and WQ, as people type them: curl, to port 3000.

curl's own configuration leads localhost:3000 to the free port that the server was given by ``PORT``.
"""

import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.served import PATIENCE_SECONDS, serving, until

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
NO_MORE = "Fewer messages available than requested."
NOTHING = "No messages available in queue."
ENOUGH = "Requested batch-size available."

Curl = Callable[[str], tuple[int, str]]


def _curl_for(dialect: str, folder: Path) -> Iterator[Curl]:
    assert shutil.which("curl"), "no curl: run make setup-test"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(folder, "--dialect", dialect, PORT=str(port)) as server:
        assert server.url == f"http://127.0.0.1:{port}"
        (folder / ".curlrc").write_text(
            f'silent\nwrite-out = "\\n%{{http_code}}"\nconnect-to = "localhost:3000:127.0.0.1:{port}"\n'
        )

        def curl(command: str) -> tuple[int, str]:
            """Return status and body of a command line."""
            done = subprocess.run(
                shlex.split(command),
                env={"HOME": str(folder), "CURL_HOME": str(folder), "PATH": "/usr/local/bin:/usr/bin:/bin"},
                capture_output=True,
                check=True,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
            body, _, status = done.stdout.rpartition("\n")
            return int(status), body

        yield curl


@pytest.fixture
def aweq(folder: Path) -> Iterator[Curl]:
    yield from _curl_for("aweq", folder)


@pytest.fixture
def wq(folder: Path) -> Iterator[Curl]:
    yield from _curl_for("wq", folder)


def _json(answer: tuple[int, str], status: int = 200) -> Any:
    assert answer[0] == status, answer
    return json.loads(answer[1])


def test_the_documented_calls_of_aweq_give_the_documented_answers(aweq: Curl) -> None:
    sent = _json(
        aweq("""curl -H 'Content-Type: application/json' -d '{"message": "hello"}' localhost:3000/send-message""")
    )
    assert sent.keys() == {"status", "key"}
    assert sent["status"] == "okay"
    assert re.fullmatch(UUID, sent["key"])
    as_form = _json(aweq("curl -d 'message=how are you' http://localhost:3000/send-message"))
    assert aweq("curl -d message= localhost:3000/send-message") == (400, "Message content required.")
    assert aweq("curl -X POST localhost:3000/send-message") == (400, "Message content required.")
    _json(aweq("curl -d message=third localhost:3000/send-message"))

    one = _json(aweq("curl localhost:3000/receive-message"))
    assert (one["status"], one["message"], len(one["messages"])) == ("okay", ENOUGH, 1)
    assert one["messages"][0].keys() == {"key", "timestamp", "retry_count", "message"}
    assert one["messages"][0]["key"] == sent["key"]
    assert one["messages"][0]["message"] == "hello"
    assert one["messages"][0]["retry_count"] == 0
    assert isinstance(one["messages"][0]["timestamp"], int)
    rest = _json(aweq("curl 'localhost:3000/receive-message?count=5'"))
    assert (rest["message"], [each["message"] for each in rest["messages"]]) == (NO_MORE, ["how are you", "third"])
    assert rest["messages"][0]["key"] == as_form["key"]
    none = _json(aweq("curl 'localhost:3000/receive-message?count=1'"))
    assert (none["status"], none["message"], none["messages"]) == ("okay", NOTHING, [])
    for count in ("0", "-1", "many"):
        assert aweq(f"curl 'localhost:3000/receive-message?count={count}'")[0] == 400

    expected = {"queue_length": 0, "checkouts_count": 3, "checkout_lifetime": "120s", "rescue_interval": "2s"}
    assert _json(aweq("curl localhost:3000/get-stats")) == {"status": "okay", "stats": expected}
    assert _json(aweq(f"curl -X DELETE localhost:3000/delete-message/{sent['key']}")) == {"status": "okay"}
    assert _json(aweq(f"curl -X DELETE localhost:3000/delete-message/{sent['key']}")) == {"status": "okay"}
    assert _json(aweq("curl localhost:3000/get-stats"))["stats"]["checkouts_count"] == 2


def test_aweq_answers_pages_of_other_origins(aweq: Curl) -> None:
    status, said = aweq("curl -i -H 'Origin: http://localhost:8080' localhost:3000/get-stats")
    assert status == 200
    assert "access-control-allow-origin: *" in said.lower()
    status, said = aweq(
        "curl -i -X OPTIONS -H 'Origin: http://localhost:8080' -H 'Access-Control-Request-Method: DELETE' "
        "localhost:3000/delete-message/x"
    )
    assert status in (200, 204)
    assert "delete" in said.lower().partition("access-control-allow-methods:")[2].partition("\n")[0]


def test_the_documented_calls_of_wq_give_the_documented_answers(wq: Curl) -> None:
    ids = []
    for body in ('{"any": ["json", 1, null]}', '"text"', "17"):
        sent = _json(wq(f"curl -X POST -H 'Content-Type: application/json' -d '{body}' localhost:3000/"), 201)
        assert sent.keys() == {"messageID"}
        assert re.fullmatch(UUID, sent["messageID"])
        ids.append(sent["messageID"])
    assert wq("curl -X POST -d '{not json' localhost:3000/")[0] == 400

    one = _json(wq("curl 'localhost:3000/?amount=1'"))
    assert one == {"messages": [{"id": ids[0], "body": {"any": ["json", 1, None]}}]}
    assert wq(f"curl -X PATCH localhost:3000/{ids[0]}") == (204, "")
    assert wq(f"curl -X PATCH localhost:3000/{ids[0]}")[0] == 404, "already confirmed"
    assert wq("curl -X PATCH localhost:3000/00000000-0000-4000-8000-000000000000")[0] == 404

    rest = _json(wq("curl localhost:3000/"))
    assert rest == {"messages": [{"id": ids[1], "body": "text"}, {"id": ids[2], "body": 17}]}
    assert _json(wq("curl localhost:3000/")) == {"messages": []}, "they are locked"
    page = "localhost:3000/v1/queues/wq"
    until(lambda: _json(wq(f"curl {page}"))["queue"]["counts"]["ready"] == 2, "their locks have ended")
    assert _json(wq("curl localhost:3000/")) == rest


def test_wq_confirms_nothing_that_is_no_longer_locked(wq: Curl) -> None:
    sent = _json(wq("curl -X POST -d '1' localhost:3000/"), 201)
    assert wq(f"curl -X PATCH localhost:3000/{sent['messageID']}")[0] == 404, "not locked yet"
    _json(wq("curl localhost:3000/"))
    page = "localhost:3000/v1/queues/wq"
    until(lambda: _json(wq(f"curl {page}"))["queue"]["counts"]["ready"] == 1, "its lock has ended")
    assert wq(f"curl -X PATCH localhost:3000/{sent['messageID']}")[0] == 404
