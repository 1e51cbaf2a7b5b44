"""What the pages ask of messages, dead letters, jobs and workflows; only looked at, a bounded part at a time."""

import json
from collections.abc import Callable
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest

from penstock.console.jobs import ShortRecord, list_jobs, status_of
from penstock.console.jobs import Wanted as WantedJobs
from penstock.console.messages import SEARCH_MS, Wanted, count_messages, list_messages
from penstock.console.walking import Walk
from penstock.core.effects import Arrival, Effects, FollowUp, Join, Record
from penstock.core.messages import Draft, MessageView, State
from penstock.core.operations import (
    Apply,
    CreateQueue,
    DeleteQueue,
    ListQueues,
    MessagesReply,
    Peek,
    PutRecords,
    QueuesReply,
    Receive,
    Send,
    UpdateGroup,
)
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.testing import ManualClock
from penstock.worker.job_logs import JobLog, LogLine
from penstock.worker.records import JobRecord, Status
from penstock.worker.status import derive
from tests.console.conftest import Serve


async def test_lists_have_the_start_of_bodies_only(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("q"))
    await served.broker.perform(Send("q", (Draft("x" * 1_000_000), Draft("short"))))
    answer = await served.http.get("/console/api/messages?queue=q")
    assert len(answer.content) < 2000
    assert [each["characters"] for each in answer.json()["messages"]] == [1_000_000, 5]


async def test_messages_are_filtered_paged_and_counted(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("q"))
    await served.broker.perform(Send("q", tuple(Draft(json.dumps({"n": n})) for n in range(1000))))
    for _ in range(2):
        await served.broker.perform(Send("q", tuple(Draft("other") for n in range(1000))))
    first = await served.look("messages", queue="q", limit=10)
    second = await served.look("messages", queue="q", limit=10, after=first["next_after"])
    bodies = [each["message"]["body"] for each in second["messages"]]
    assert bodies == [json.dumps({"n": n}) for n in range(10, 20)]
    one = await served.look("messages", queue="q", json_path="n", json_value="777")
    assert [each["message"]["body"] for each in one["messages"]] == ['{"n": 777}']
    assert await served.look("count", queue="q", text="other") == {"count": 2000, "next_after": None}
    assert (await served.http.get("/console/api/messages?queue=q&colour=red")).status_code == 400
    assert (await served.http.get("/console/api/messages?queue=none")).status_code == 404


@pytest.mark.parametrize("question", [list_messages, count_messages])
def test_a_search_asks_for_no_more_when_its_time_is_over_and_says_how_far_it_got(question: Callable[..., Walk]) -> None:
    clock = ManualClock()
    walk = question(Wanted("q", text="rare"), clock)
    asked = [next(walk)]
    asked.append(walk.send(MessagesReply((), 10_000)))
    clock.advance(SEARCH_MS / 1000)
    with pytest.raises(StopIteration) as end:
        walk.send(MessagesReply((), 20_000))
    assert [each.after for each in asked if isinstance(each, Peek)] == [0, 10_000]
    assert json.loads(end.value.value.body)["next_after"] == 20_000


def test_however_slow_the_store_each_answer_of_jobs_gets_on() -> None:
    clock = ManualClock()
    walk = list_jobs(WantedJobs("retrying", queue="q", after="q:5"), clock)
    assert isinstance(next(walk), Peek)
    clock.advance(60)
    with pytest.raises(StopIteration) as end:
        walk.send(MessagesReply((), 6))
    assert json.loads(end.value.value.body) == {"jobs": [], "next_after": "q:6"}
    walk = list_jobs(WantedJobs("retrying"), clock)
    assert isinstance(next(walk), ListQueues)
    clock.advance(60)
    with pytest.raises(StopIteration) as end:
        walk.send(QueuesReply((), "name"))
    assert json.loads(end.value.value.body) == {"jobs": [], "next_after": "name:"}


async def test_jobs_are_listed_page_by_page_through_all_queues(serve: Serve) -> None:
    served = await serve()
    for name in ("a", "b", "c"):
        await served.broker.perform(CreateQueue(f"{name}-dead"))
        await served.broker.perform(CreateQueue(name, QueueChanges(redrive=RedrivePolicy(f"{name}-dead", 3))))
        await served.broker.perform(Send(name, tuple(Draft(json.dumps({"task": f"{name}{n}"})) for n in range(3))))
    found: list[str] = []
    after = ""
    while after is not None:
        page = await served.look("jobs", status="waiting", limit=2, after=after)
        found += [job["task"] for job in page["jobs"]]
        after = page["next_after"]
        if after and after.startswith("b"):
            await served.broker.perform(DeleteQueue("b"))  # goes while somebody is looking
            break
    assert found == ["a0", "a1", "a2", "b0"]
    rest = await served.look("jobs", status="waiting", after=after)
    assert ([job["task"] for job in rest["jobs"]], rest["next_after"]) == (["c0", "c1", "c2"], None)
    own = await served.look("jobs", status="waiting", queue="c", task="1")
    assert [job["task"] for job in own["jobs"]] == ["c1"]


async def test_jobs_that_run_are_listed_with_their_progress(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("q-dead"))
    await served.broker.perform(CreateQueue("q", QueueChanges(redrive=RedrivePolicy("q-dead", 3))))
    await served.broker.perform(Send("q", (Draft('{"task": "render"}'), Draft("of somebody else"))))
    job, _ = (await served.broker.perform(Receive("q", 2))).deliveries
    progress = {"done": 3, "total": 4, "note": "laying out"}
    record = {"task": "render", "queue": "q", "status": "running", "progress": progress}
    await served.broker.perform(PutRecords((Record(f"job/{job.message_id}", json.dumps(record).encode()),)))
    (listed,) = (await served.look("jobs", status="running"))["jobs"]
    assert (listed["job_id"], listed["record"]["progress"]) == (job.message_id, progress)


async def test_jobs_that_wait_for_others_are_listed(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("q"))
    for number in range(3):
        life = f"life-{number}"
        nodes = [["first", "t", "q"], ["then", f"after{number}", "q", [0]]]
        flow = json.dumps({"life": life, "nodes": nodes, "returns": [1], "returns_list": False}).encode()
        later = Draft(
            json.dumps({"task": f"after{number}"}), message_id=str(uuid5(NAMESPACE_URL, f"penstock:{life}/then"))
        )
        join = Join(f"join-{number}", 1, FollowUp("q", later))
        await served.broker.perform(Apply(Effects(records=(Record(f"flow/{number}", flow),), joins=(join,))))
    first = await served.look("jobs", status="blocked", limit=2)
    assert [(job["task"], job["status"], job["queue"]) for job in first["jobs"]] == [
        ("after2", "blocked", "q"),
        ("after1", "blocked", "q"),
    ]
    rest = await served.look("jobs", status="blocked", limit=2, after=first["next_after"])
    assert ([job["task"] for job in rest["jobs"]], rest["next_after"]) == (["after0"], None)
    await served.broker.perform(Apply(Effects(arrivals=(Arrival("join-0", "first"),))))
    assert (await served.look("jobs", status="blocked", task="after0"))["jobs"] == []


async def test_groups_are_shown_with_what_holds_them_up(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("q", QueueChanges(group_order="strict")))
    for group in ("held", "parked", "free"):
        drafts = tuple(Draft(json.dumps({"task": f"{group}{n}"}), group_id=group) for n in range(2))
        await served.broker.perform(Send("q", drafts))
    (first,) = (await served.broker.perform(Receive("q"))).deliveries
    await served.broker.perform(UpdateGroup("q", "parked", is_parked=True))
    all_groups = (await served.look("groups", queue="q"))["groups"]
    assert [each["group"]["group_id"] for each in all_groups] == ["free", "held", "parked"]
    assert [each["head"] and each["head"]["task"] for each in all_groups] == [None, "held0", "parked0"]
    for kind, expected in {"blocked": "held", "parked": "parked"}.items():
        said = await served.look("groups", queue="q", kind=kind)
        assert ([each["group"]["group_id"] for each in said["groups"]], said["next_after"]) == ([expected], None)
    (held,) = (await served.look("groups", queue="q", kind="blocked"))["groups"]
    assert (held["head"]["job_id"], held["head"]["status"]) == (first.message_id, "running")
    page = await served.look("groups", queue="q", limit=2)
    assert [each["group"]["group_id"] for each in page["groups"]] == ["free", "held"]
    rest = await served.look("groups", queue="q", limit=2, after=page["next_after"])
    assert [each["group"]["group_id"] for each in rest["groups"]] == ["parked"]


async def test_what_the_latest_attempts_logged_is_shown_with_their_job(serve: Serve) -> None:
    served = await serve()
    for attempt in range(1, 13):
        job_log = JobLog()
        job_log.add(LogLine(attempt, "INFO", "shop", f"attempt {attempt}"))
        await served.broker.perform(PutRecords((job_log.to_record("j", attempt, 9_999_999_999_999),)))
    said = await served.look("job", job_id="j")
    assert [each["attempt"] for each in said["logs"]] == list(range(3, 13))
    assert said["logs"][-1]["kept"]["lines"] == [[12, "INFO", "shop", "attempt 12"]]


async def test_schedules_are_shown_with_their_next_runs(serve: Serve) -> None:
    served = await serve()
    rules = {"a": {"cron": "0 3 * * *", "zone": "Europe/Berlin"}, "b": {"every_seconds": 60}, "c": {"cron": "nonsense"}}
    for name, rule in rules.items():
        kept = {"name": name, "rule": {"task": "t", **rule}, "next_at": 1_700_000_000_000, "since": 1_700_000_000_000}
        await served.broker.perform(PutRecords((Record(f"schedule/{name}", json.dumps(kept).encode()),)))
    said = (await served.look("schedules"))["schedules"]
    told = {each["kept"]["name"]: [at - 1_700_000_000_000 for at in each["upcoming"]] for each in said}
    assert told == {"a": [0, 13_600_000, 100_000_000], "b": [0, 60_000, 120_000], "c": [0]}


async def test_the_next_runs_of_a_rule_are_told_while_it_is_written(serve: Serve) -> None:
    served = await serve()
    at = 1_700_000_000_000
    said = await served.look("occurrences", cron="0 3 * * *", zone="Europe/Berlin", at=at, count=2)
    assert said["upcoming"] == [at + 13_600_000, at + 100_000_000]
    now = served.clock.now_ms()
    assert (await served.look("occurrences", every_seconds=30, count=2))["upcoming"] == [now + 30_000, now + 60_000]
    for wrong in ("", "cron=x", "cron=@daily&zone=Atlantis/Sunk", "cron=@daily&every_seconds=5", "every_seconds=0"):
        answer = await served.http.get(f"/console/api/occurrences?{wrong}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), wrong
    assert (await served.http.get(f"/console/api/occurrences?cron=@daily&at={1 << 61}")).status_code == 400


async def test_dead_letters_are_grouped_by_why_they_died(serve: Serve) -> None:
    served = await serve()
    await served.broker.perform(CreateQueue("dead"))
    changes = QueueChanges(redrive=RedrivePolicy("dead", 1), visibility_timeout_seconds=1)
    await served.broker.perform(CreateQueue("q", changes))
    reply = await served.broker.perform(Send("q", (*tuple(Draft('{"task": "t"}') for _ in range(3)), Draft("plain"))))
    ids = [each.message_id for each in reply.outcomes]  # type: ignore[union-attr]
    for _ in range(2):
        await served.broker.perform(Receive("q", 4))
        served.clock.advance(2)
    failure = {"kind": "Oh", "message": "no", "traceback": 'File "/a/b.py", line 3, in run\n'}
    record = json.dumps({"task": "t", "queue": "q", "status": "failed", "failure": failure}).encode()
    await served.broker.perform(PutRecords(tuple(Record(f"job/{each}", record) for each in ids[:2])))
    said = await served.look("causes", queue="dead")
    told = {(each["kind"], each["place"]): (each["count"], each["message_ids"]) for each in said["causes"]}
    assert told == {("Oh", "b.py: run"): (2, ids[:2]), ("", "t"): (1, [ids[2]]), ("", "q"): (1, [ids[3]])}


@pytest.mark.parametrize("junk", [b"", b"\xff", b"[]", b"{}", b'{"task": 1}', b"[" * 5000])
async def test_records_that_cannot_be_read_harm_nothing(serve: Serve, junk: bytes) -> None:
    served = await serve()
    tags = {"status": "failed"}
    records = (
        Record("job/x", junk, tags),
        Record("flow/x", junk),
        Record("worker/x", junk),
        Record("schedule/x", junk),
        Record("log/x/000001", junk),
        Record("log/x/first", b"{}"),
    )
    await served.broker.perform(Apply(Effects(records=records)))
    for what in ("jobs?status=failed", "job?job_id=x", "workflows", "schedules"):
        assert (await served.http.get(f"/console/api/{what}")).status_code == 200
    assert (await served.http.get("/console/api/workflow?workflow_id=x")).status_code == 400


def test_a_job_has_the_status_that_the_worker_framework_says() -> None:
    messages = [None] + [
        MessageView("id", "q", state, "", 1, 1, 1, count, dead_letter_source=source)
        for state in State
        for count in (0, 1, 2)
        for source in (None, "other")
    ]
    records = [None] + [JobRecord("t", status=each, receive_count=1) for each in Status]
    for message in messages:
        for record in records:
            short = None if record is None else msgspec.convert(msgspec.to_builtins(record), ShortRecord)
            if record is not None and short is not None:  # what is the default is not written
                short = msgspec.structs.replace(short, status=record.status.value)
            assert status_of(message, short) == derive(message, record), (message, record)
