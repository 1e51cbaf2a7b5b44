"""``penstock message`` and the rest of ``penstock queue``: on a store directly and through a server."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.cli.statuses import FAILED, NOT_FOUND, WRONG_USE
from tests.cli.test_commands import Terminal, _elsewhere, terminal

__all__ = ["_elsewhere", "terminal"]

NOBODY = "00000000-0000-7000-8000-0000000000ff"


def lines_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()[1:]]


def test_messages_are_listed_in_every_state_without_being_received(terminal: Terminal) -> None:
    terminal("queue", "create", "orders")
    assert terminal("message", "list", "orders") == "There is no message.\n"
    terminal("send", "orders", "held")
    terminal("receive", "orders", "--visibility-timeout", "1h")
    terminal("send", "orders", "later", "--delay", "1h30m")
    terminal("send", "orders", "now\nand more")
    listed = lines_of(terminal("message", "list", "orders"))
    assert [line[1] for line in listed] == ["in_flight", "delayed", "ready"]
    assert listed[2][-1] == "now…"
    assert terminal("message", "peek", "orders", "--state", "delayed") == "later\n"
    assert terminal("message", "list", "orders", "--state", "ready", "--ids").strip() == listed[2][0]
    assert terminal.json("queue", "show", "orders")["counts"] == {"ready": 1, "delayed": 1, "in_flight": 1}


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (("--text", "needle"), ["c"]),
        (("--json-path", "order.id=7"), ["a"]),
        (("--json-path", "order.id"), ["a", "b"]),
        (("--json-path", "order.kind=food"), ["b"]),
        (("--attribute", "kind"), ["d", "e"]),
        (("--attribute", "kind=x=y"), ["e"]),
        (("--group", "g"), ["f"]),
        (("--received", "1"), []),
        (("--older-than", "1h"), []),
        (("--newer-than", "1h", "--text", "order"), ["a", "b"]),
    ],
)
def test_messages_are_searched(found_in: Terminal, conditions: tuple[str, ...], found: list[str]) -> None:
    names = {each["message_id"]: each["body"] for each in found_in.json("message", "list", "orders", *conditions)}
    assert [_NAMES[body] for body in names.values()] == found


_NAMES = {
    '{"order": {"id": 7}}': "a",
    '{"order": {"id": 8, "kind": "food"}}': "b",
    "hay needle hay": "c",
    "d": "d",
    "e": "e",
    "f": "f",
}


@pytest.fixture
def found_in(tmp_path: Path) -> Terminal:
    """A queue with something to find; what a search does is the store's business, so one way there is enough."""
    import asyncio

    from tests.cli.test_commands import _made

    asyncio.run(_made(store := f"sqlite:////{tmp_path}/penstock.db"))
    terminal = Terminal("--store", store)
    terminal("queue", "create", "orders")
    terminal("send", "orders", *list(_NAMES)[:3])
    terminal("send", "orders", "d", "--attribute", "kind=x")
    terminal("send", "orders", "e", "--attribute", "kind=x=y")
    terminal("send", "orders", "f", "--group", "g")
    return terminal


def test_a_message_is_shown_with_its_life(terminal: Terminal) -> None:
    terminal("queue", "create", "orders", "--history", "all")
    sent = terminal("send", "orders", '{"a": 1}', "--attribute", "kind=x", "--priority", "3").strip()
    handle = terminal.json("receive", "orders")["deliveries"][0]["receipt_handle"]
    shown = terminal("message", "show", sent)
    assert '{\n  "a": 1\n}' in shown
    assert "kind (String)" in shown
    told = terminal.json("message", "show", sent)
    assert told["message"]["state"] == "in_flight"
    assert [event["kind"] for event in told["history"]] == ["sent", "received"]
    terminal("message", "settle", "orders", handle, "--delete")
    assert terminal("message", "show", sent).endswith("It is gone.\n")
    assert "no message" in terminal.fails("message", "show", NOBODY, status=NOT_FOUND)


def test_deliveries_are_settled_in_every_way(terminal: Terminal) -> None:
    terminal("queue", "create", "dead")
    terminal("queue", "create", "orders", "--dead-letter-queue", "dead", "--max-receive-count", "9")
    terminal("send", "orders", "one", "two")
    first, second = (each["receipt_handle"] for each in terminal.json("receive", "orders", "--max", "2")["deliveries"])
    assert terminal("message", "settle", "orders", first, "--hold", "2h") == "Done.\n"
    assert terminal("message", "settle", "orders", first, "--give-back") == "Done.\n"
    assert terminal("receive", "orders", "--delete") == "one\n"
    assert terminal("message", "settle", "orders", second, "--dead-letter", "too odd") == "Done.\n"
    assert terminal("message", "peek", "dead") == "two\n"
    assert "was not settled" in terminal.fails("message", "settle", "orders", first, "--delete")
    terminal.fails("message", "settle", "orders", first, status=WRONG_USE)
    terminal.fails("message", "settle", "orders", first, "--delete", "--hold", "1", status=WRONG_USE)


def test_a_message_is_edited_and_sent_again(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal("queue", "create", "orders")
    terminal("queue", "create", "others")
    old = terminal("send", "orders", "wrong", "--attribute", "kind=x", "--priority", "7").strip()
    new = terminal("message", "edit", old, "--body", "right").strip()
    (kept,) = terminal.json("message", "list", "orders")
    assert (kept["message_id"], kept["body"], kept["priority"]) == (new, "right", 7)
    assert kept["attributes"]["kind"]["string_value"] == "x"
    Path("editor.py").write_text(
        "import sys, pathlib\np = pathlib.Path(sys.argv[1])\np.write_text(p.read_text().upper() + '\\n')"
    )
    monkeypatch.setenv("EDITOR", "python editor.py")
    terminal("message", "edit", new, "--queue", "others", "--keep")
    assert terminal("message", "peek", "others") == "RIGHT\n"
    assert terminal("message", "peek", "orders") == "right\n"
    monkeypatch.setenv("EDITOR", "true")
    terminal.fails("message", "edit", new)
    monkeypatch.delenv("EDITOR")
    monkeypatch.delenv("VISUAL", raising=False)
    terminal.fails("message", "edit", new, status=WRONG_USE)
    terminal.fails("message", "edit", NOBODY, "--body", "x", status=NOT_FOUND)


def test_a_fifo_message_sent_again_is_not_taken_for_itself(terminal: Terminal) -> None:
    terminal("queue", "create", "steps.fifo")
    old = terminal("send", "steps.fifo", "one", "--group", "g", "--deduplication-id", "d").strip()
    terminal("message", "edit", old, "--body", "two")
    assert terminal("message", "peek", "steps.fifo") == "two\n"


def test_messages_are_rescheduled_cancelled_and_deleted(terminal: Terminal) -> None:
    terminal("queue", "create", "orders")
    held, late, early = terminal("send", "orders", "held", "late", "early").split()
    terminal("receive", "orders", "--visibility-timeout", "1h")
    terminal("message", "reschedule", late, "--in", "2d")
    terminal("message", "reschedule", early, "--at", "2040-01-31T12:00Z")
    visible = {each["message_id"]: each["visible_at"] for each in terminal.json("message", "list", "orders")}
    assert visible[early] == datetime(2040, 1, 31, 12, tzinfo=UTC).timestamp() * 1000
    result = terminal.run("message", "cancel", held, late, NOBODY, "--json")
    assert json.loads(result.stdout) == {held: "in_flight", late: "done", NOBODY: "gone"}
    assert result.exit_code == FAILED
    assert terminal.run("message", "delete", held, stdin="n\n").exit_code == FAILED
    assert terminal("message", "delete", held, early, "--yes").count("deleted") == 2
    assert terminal("message", "list", "orders") == "There is no message.\n"
    terminal.fails("message", "reschedule", late, status=WRONG_USE)
    terminal.fails("message", "reschedule", late, "--in", "soon", status=WRONG_USE)
    terminal.fails("message", "reschedule", late, "--at", "soon", status=WRONG_USE)


def test_dead_letters_are_counted_and_redriven(terminal: Terminal) -> None:
    terminal("queue", "create", "dead")
    terminal("queue", "create", "orders", "--dead-letter-queue", "dead", "--max-receive-count", "1")
    terminal("send", "orders", "one", "two", "three")
    for delivery in terminal.json("receive", "orders", "--max", "3")["deliveries"]:
        terminal("message", "settle", "orders", delivery["receipt_handle"], "--dead-letter", "odd")
    assert terminal.json("message", "redrive", "dead", "--text", "t", "--dry-run") == {"count": 2}
    assert terminal.run("message", "redrive", "dead", stdin="n\n").exit_code == FAILED
    assert terminal("message", "redrive", "dead", "--text", "t", "--yes") == "Moved 2 messages of dead back.\n"
    assert terminal("message", "peek", "orders") == "two\nthree\n"
    terminal("queue", "create", "other")
    assert terminal.json("message", "redrive", "dead", "--to", "other", "--yes")["moved_count"] == 1
    assert terminal("message", "peek", "other") == "one\n"
    assert [line[1] for line in lines_of(terminal("message", "moves", "dead"))] == ["completed", "completed"]
    terminal.fails("message", "cancel-move", NOBODY, status=NOT_FOUND)


def test_a_queue_is_edited_tagged_paused_and_resumed(terminal: Terminal) -> None:
    terminal("queue", "create", "dead")
    terminal("queue", "create", "orders", "--dead-letter-queue", "dead", "--max-receive-count", "3", "--tag", "a=1")
    terminal("queue", "edit", "orders", "--visibility-timeout", "10m", "--max-in-flight", "7")
    settings = terminal.json("queue", "show", "orders")["settings"]
    assert (settings["visibility_timeout_seconds"], settings["max_in_flight"]) == (600, 7)
    assert settings["redrive"]["dead_letter_queue"] == "dead"
    terminal("queue", "edit", "orders", "--dead-letter-queue", "none", "--max-in-flight", "none")
    settings = terminal.json("queue", "show", "orders")["settings"]
    assert (settings["redrive"], settings["max_in_flight"]) == (None, None)
    assert terminal.json("queue", "tag", "orders", "b=2", "--remove", "a") == {"b": "2"}
    assert terminal("queue", "tag", "dead") == "dead has no tags.\n"
    terminal("send", "orders", "x")
    assert terminal("queue", "pause", "orders") == "orders is paused.\n"
    assert terminal("receive", "orders") == ""
    assert "standard, paused" in terminal("queue", "list")
    assert terminal("queue", "resume", "orders") == "orders goes on.\n"
    assert terminal("receive", "orders") == "x\n"
    terminal.fails("queue", "edit", "orders", status=WRONG_USE)
    terminal.fails("queue", "edit", "nowhere", "--delay", "1", status=NOT_FOUND)


def test_a_fifo_queue_is_edited(terminal: Terminal) -> None:
    terminal("queue", "create", "steps.fifo")
    terminal("queue", "edit", "steps.fifo", "--content-based-deduplication")
    assert terminal.json("queue", "show", "steps.fifo")["settings"]["content_based_deduplication"]


def test_a_policy_is_set_shown_and_removed(terminal: Terminal) -> None:
    terminal("queue", "create", "orders")
    policy = {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}}
    Path("policy.json").write_text(json.dumps(policy))
    assert terminal("queue", "policy", "orders") == "orders has no policy.\n"
    assert terminal.json("queue", "policy", "orders", "--set", "policy.json") == policy
    assert json.loads(terminal("queue", "policy", "orders")) == policy
    assert terminal.json("queue", "policy", "orders", "--remove") is None
    Path("policy.json").write_text("[]")
    terminal.fails("queue", "policy", "orders", "--set", "policy.json", status=WRONG_USE)
    terminal.fails("queue", "policy", "orders", "--set", "nowhere.json", status=WRONG_USE)


def test_groups_are_listed_parked_and_unparked(terminal: Terminal) -> None:
    terminal("queue", "create", "steps.fifo")
    assert terminal("queue", "groups", "steps.fifo") == "steps.fifo has no groups.\n"
    for number, group in enumerate(("a", "a", "b")):
        terminal("send", "steps.fifo", str(number), "--group", group, "--deduplication-id", str(number))
    terminal("queue", "park", "steps.fifo", "a")
    listed = lines_of(terminal("queue", "groups", "steps.fifo"))
    assert (listed[0][:3], listed[0][-1], listed[1][:3]) == (["a", "2", "0"], "parked", ["b", "1", "0"])
    assert [each["group_id"] for each in terminal.json("queue", "groups", "steps.fifo", "--parked")] == ["a"]
    assert terminal("receive", "steps.fifo") == "2\n"
    terminal("queue", "unpark", "steps.fifo", "a")
    assert terminal("receive", "steps.fifo") == "0\n"


def test_errors_are_json_where_answers_are(terminal: Terminal) -> None:
    problem = json.loads(terminal.fails("queue", "show", "nowhere", "--json", status=NOT_FOUND))
    assert (problem["code"], problem["hint"]) == ("queue_not_found", "Create it, or mind its spelling.")
