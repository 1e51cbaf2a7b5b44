"""What somebody sends to hurt or confuse whoever looks at it; and what happens while the server is away."""

import json
import re
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import expect

from penstock.testing import server
from tests.browser.conftest import Open, Scene, Watched
from tests.browser.scene import put_record
from tests.browser.test_views import DESK, PHONE

MEBIBYTE = 1 << 20

SCRIPT = "<img src=x onerror=\"alert('x')\"><script>alert('y')</script>"
LINK = "javascript:alert('z')"


def test_nothing_that_is_sent_becomes_part_of_the_page(seen: Watched, scene: Scene) -> None:
    rest = scene.rest
    rest.create("hostile", history="all", tags={SCRIPT: SCRIPT}, group_order="strict")
    rest.create("hostile-dead", tags={"href": LINK})
    (sent, job) = rest.send(
        "hostile",
        {"body": SCRIPT, "group_id": SCRIPT, "attributes": {"note": {"string_value": SCRIPT}}, "sender_id": SCRIPT},
        {"body": f'{{"task": "{LINK}", "args": {{"</pre>": "<script>"}}}}', "group_id": "</td>"},
    )
    put_record(
        rest,
        f"job/{job}",
        {
            "task": SCRIPT,
            "queue": LINK,
            "status": "failed",
            "worker": SCRIPT,
            "workflow_id": f"{SCRIPT}/..",
            "failure": {"kind": SCRIPT, "message": SCRIPT, "traceback": SCRIPT},
            "progress": {"done": 1, "total": 2, "note": SCRIPT},
            "result": SCRIPT,
        },
    )
    put_record(
        rest,
        "worker/hostile",
        {"owner": SCRIPT, "queues": [LINK], "jobs": [{"job_id": LINK, "task": SCRIPT, "started_at": 1}], "beat": 1},
    )
    rule = {"task": SCRIPT, "cron": SCRIPT, "queue": LINK}
    put_record(rest, "schedule/hostile", {"name": SCRIPT, "rule": rule, "next_at": 1, "last_job_id": LINK})
    flow = {"life": "x", "nodes": [[SCRIPT, SCRIPT, LINK]], "returns": [0], "returns_list": False, "sent_at": 1}
    put_record(rest, "flow/hostile", flow)
    for place in (
        "queue/hostile",
        "queue/hostile/groups",
        "queue/hostile/settings",
        f"message/{sent}",
        f"message/{job}",
        f"job/{job}",
        "dead/hostile",
        "jobs?status=failed",
        "workers",
        "schedules",
        "workflows",
        "workflow/hostile",
        "%3Cscript%3E/%",
        "message/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
    ):
        page = seen.go(place)
        page.set_viewport_size(PHONE)
        expect(page.locator("main h1").first).to_be_visible()
        if ("hostile" in place and "settings" not in place) or sent in place:
            expect(page.locator("main")).to_contain_text("script")
        assert page.locator("main script, main img, main iframe, main [onerror]").count() == 0
        assert page.locator('[href^="javascript"]').count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], place
    for key in ("worker/hostile", "schedule/hostile", "flow/hostile", f"job/{job}"):
        rest("POST", "/v1/records/delete", {"keys": [key]})


def test_names_without_end_break_no_layout(seen: Watched, scene: Scene) -> None:
    rest, long = scene.rest, "x" * 75
    rest.create(f"{long}-dead")
    redrive = {"dead_letter_queue": f"{long}-dead", "max_receive_count": 1}
    rest.create(long, tags={"t" * 128: "v" * 256}, group_order="strict", redrive=redrive)
    attributes = {"a" * 256: {"string_value": "v" * 5000}}
    body = json.dumps({"task": "t" * 500, "args": {"k" * 500: "v" * 5000}})
    (sent,) = rest.send(long, {"body": body, "group_id": "g" * 128, "attributes": attributes, "sender_id": "s" * 128})
    rest("PATCH", f"/v1/queues/{long}/groups/{'g' * 128}", {"is_parked": True})
    failure = {"kind": "K" * 300, "message": "m" * 5000, "traceback": "t" * 5000}
    record = {"task": "t" * 500, "queue": long, "status": "failed", "worker": "w" * 300, "failure": failure}
    put_record(
        rest, f"job/{sent}", {**record, "receive_count": 1, "progress": {"done": 1, "total": 2, "note": "n" * 900}}
    )
    put_record(rest, "schedule/long", {"name": "n" * 500, "rule": {"task": "t" * 500, "cron": "@daily"}, "next_at": 1})
    put_record(rest, "flow/long", {"life": "x", "nodes": [["n" * 500, "t" * 500, long]], "sent_at": 1})
    worker = {"owner": "o" * 300, "queues": [long], "machine": "m" * 300, "beat": 1, "slots": 1}
    put_record(rest, "worker/long", {**worker, "jobs": [{"job_id": sent, "task": "t" * 500, "started_at": 1}]})
    for place in (
        "",
        f"queue/{long}",
        f"queue/{long}/groups",
        f"queue/{long}/settings",
        f"message/{sent}",
        f"job/{sent}",
        f"dead/{long}",
        f"hand/{long}",
        "jobs?status=waiting",
        "workers",
        "schedules",
        "workflows",
        "workflow/long",
    ):
        page = seen.go(place)
        expect(page.locator("main h1").first).not_to_be_empty()
        if place != "":
            expect(page.locator("main")).to_contain_text(re.compile(r"(\w)\1{15}|Batch size"))
        for size in (DESK, PHONE):
            page.set_viewport_size(size)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], (place, size)
        page.set_viewport_size(DESK)
    for key in ("worker/long", "schedule/long", "flow/long", f"job/{sent}"):
        rest("POST", "/v1/records/delete", {"keys": [key]})


def test_a_body_of_a_mebibyte_is_listed_and_shown(seen: Watched, scene: Scene) -> None:
    scene.rest.create("heavy")
    (sent, *_) = scene.rest.send("heavy", "<b>" + "y" * (MEBIBYTE - 3))
    page = seen.go("queue/heavy")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Text in the body").fill("yyyy")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody .preview")).to_contain_text("<b>yyy")
    page = seen.go(f"message/{sent}")
    expect(page.get_by_text("Text, 1.0 MiB")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    assert page.get_by_label("Body").evaluate("element => element.textContent.length") == MEBIBYTE
    assert page.evaluate("document.documentElement.scrollWidth") <= DESK["width"]


def test_bytes_that_are_no_text_are_refused_and_what_stands_for_them_is_shown(seen: Watched, scene: Scene) -> None:
    scene.rest.create("bytes")
    request = Request(
        f"{scene.url}/v1/queues/bytes/messages", b'{"messages": [{"body": "\xff\xfe\x80"}]}', method="POST"
    )
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=30)
    assert refused.value.code == 400
    assert json.load(refused.value)["code"] == "invalid_request"
    assert scene.rest.counts("bytes")["ready"] == 0
    (sent,) = scene.rest.send("bytes", b"\xff\xfe\x80 rest".decode(errors="replace"))
    expect(seen.go(f"message/{sent}").get_by_label("Body")).to_have_text("\ufffd\ufffd\ufffd rest")


def test_large_binary_and_invisible_bodies_are_shown(seen: Watched, scene: Scene) -> None:
    rest = scene.rest
    rest.create("odd")
    large = "[" + ",".join(f'{{"row": {n}, "text": "{"x" * 80}"}}' for n in range(9_000)) + "]"
    odd = "\x01bell\x07 back\u202ewards \ufeff \U0001f600 12345678901234567890"
    attributes = {"photo": {"data_type": "Binary", "binary_value": "/9j/4AAQAAE="}}
    (big, strange, number) = rest.send(
        "odd", large, {"body": odd, "attributes": attributes}, '{"id": 12345678901234567890, "ratio": 1.0}'
    )
    page = seen.go("queue/odd")
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.locator("tbody")).to_contain_text("⟨U+202E⟩")
    page = seen.go(f"message/{big}")
    expect(page.get_by_text("JSON, 911.9 KiB").or_(page.get_by_text("KiB")).first).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_label("Body")).to_contain_text('"row": 8999')
    page = seen.go(f"message/{strange}")
    expect(page.get_by_label("Body")).to_contain_text("␁bell␇ back⟨U+202E⟩wards")
    expect(page.locator("main")).to_contain_text("ff d8 ff e0 00 10 00 01 8 B")
    page = seen.go(f"message/{number}")
    expect(page.get_by_label("Body")).to_contain_text('"id": 12345678901234567890,')
    expect(page.get_by_label("Body")).to_contain_text('"ratio": 1.0')


def test_what_was_typed_stays_while_the_server_is_away(open_page: Open) -> None:
    with server(limits="relaxed") as first:
        seen = open_page(first.url)
        page = seen.go("hand/orders")
        page.get_by_label("Body").fill("do not lose me")
        port = int(first.url.rpartition(":")[2])
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert").first).to_contain_text("cannot be reached")
    expect(page.get_by_label("Body")).to_have_value("do not lose me")
    with server(limits="relaxed", port=port) as second:
        second.client().create_queue(QueueName="orders")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_label("Answer")).to_contain_text("message_id")
        expect(page.locator(".banner")).to_be_hidden()


def test_a_page_that_is_open_says_that_its_figures_are_old_and_goes_on(open_page: Open) -> None:
    with server(limits="relaxed") as first:
        seen = open_page(first.url)
        page = seen.go("")
        expect(page.locator("main")).to_contain_text("No queues yet")
        port = int(first.url.rpartition(":")[2])
    expect(page.locator(".banner")).to_be_visible()
    expect(page.locator(".banner")).to_contain_text("is from before")
    with server(limits="relaxed", port=port) as second:
        second.client().create_queue(QueueName="back-again")
        expect(page.locator("main")).to_contain_text("back-again", timeout=12_000)
        expect(page.locator(".banner")).to_be_hidden()


def test_a_view_whose_files_do_not_come_is_shown_when_they_do(open_page: Open, empty_server: str) -> None:
    page = open_page(empty_server).page
    page.route("**/views/jobs.js", lambda route: route.abort())
    page.goto(f"{empty_server}/console/#/jobs")
    expect(page.get_by_role("alert").filter(has_text="cannot be reached").last).to_be_visible()
    expect(page.get_by_role("heading", name="This cannot be shown now")).to_be_visible()
    page.unroute("**/views/jobs.js")
    expect(page.locator("main")).to_contain_text("No jobs are running")


def test_a_store_that_is_away_is_told_and_nothing_typed_is_lost(seen: Watched, scene: Scene) -> None:
    page = seen.go("")
    away = '{"title":"x","status":503,"code":"store_unavailable","message":"The disk is full.","hint":"Make room."}'
    page.route(
        "**/v1/queues",
        lambda route: route.fulfill(status=503, content_type="application/problem+json", body=away),
    )
    page.get_by_role("button", name="Create queue").click()
    page.get_by_label("Name", exact=True).fill("kept")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator("dialog")).to_contain_text("The disk is full. Make room.")
    expect(page.get_by_label("Name", exact=True)).to_have_value("kept")
    page.unroute("**/v1/queues")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="kept")).to_be_visible()
