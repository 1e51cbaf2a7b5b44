"""What somebody sends to hurt or confuse whoever looks at it; and what happens while the server is away."""

from playwright.sync_api import expect

from penstock.testing import server
from tests.browser.conftest import Open, Scene, Watched
from tests.browser.scene import put_record

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
        expect(page.locator("main h1").first).to_be_visible()
        if ("hostile" in place and "settings" not in place) or sent in place:
            expect(page.locator("main")).to_contain_text("script")
        assert page.locator("main script, main img, main iframe, main [onerror]").count() == 0
        assert page.locator('[href^="javascript"]').count() == 0
    for key in ("worker/hostile", "schedule/hostile", "flow/hostile", f"job/{job}"):
        rest("POST", "/v1/records/delete", {"keys": [key]})


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
