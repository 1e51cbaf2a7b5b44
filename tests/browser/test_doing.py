"""What people do with the console, done with mouse and keyboard; and that the server then has it."""

import json
import re

from playwright.sync_api import expect

from tests.browser.conftest import Open, Scene, Watched
from tests.browser.scene import until


def test_a_queue_of_partitions_is_created_and_shown_as_one(seen: Watched, scene: Scene) -> None:
    page = seen.go("")
    page.get_by_role("button", name="Create queue").first.click()
    page.get_by_label("Name", exact=True).fill("parts")
    page.get_by_label("Partitions").fill("8")
    page.get_by_text("More settings").click()
    page.get_by_label("Partitioner").fill("qugo:4")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator(".badges")).to_contain_text("8 partitions")
    settings = scene.rest("GET", "/v1/queues/parts")["queue"]["settings"]
    assert (settings["partitions"], settings["partitioner"]) == (8, "qugo:4")
    page.get_by_role("link", name="Settings").click()
    expect(page.locator("main")).to_contain_text("8, by qugo:4")
    page = seen.go("")
    expect(page.get_by_role("link", name="parts", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="parts#0")).to_have_count(0)


def test_a_queue_is_created_paused_edited_purged_and_deleted(seen: Watched, scene: Scene) -> None:
    page = seen.go("")
    page.get_by_role("button", name="Create queue").first.click()
    page.get_by_label("Name", exact=True).fill("fresh")
    page.get_by_label("Visibility timeout (s)").fill("45")
    page.get_by_text("More settings").click()
    page.get_by_label("Tags").fill("team = shop\nstage = trial")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name="fresh")).to_be_visible()
    settings = scene.rest("GET", "/v1/queues/fresh")["queue"]["settings"]
    assert (settings["visibility_timeout_seconds"], settings["tags"]) == (45, {"team": "shop", "stage": "trial"})

    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".badges")).to_contain_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".badges")).not_to_contain_text("paused")

    page.get_by_role("link", name="Settings").click()
    page.get_by_label("History keeps").select_option("all")
    page.get_by_label("Tags").fill("team = shop")
    page.get_by_label("Access policy (JSON)").fill('{"Version": "2012-10-17", "Statement": []}')
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notices")).to_contain_text("Saved")
    settings = scene.rest("GET", "/v1/queues/fresh")["queue"]["settings"]
    assert (settings["history"], settings["tags"]) == ("all", {"team": "shop"})
    assert "2012-10-17" in settings["edge_attributes"]["Policy"]

    scene.rest.send("fresh", "one", "two")
    page.get_by_role("button", name="Purge…").click()
    page.get_by_label("Type fresh to confirm").fill("frsh")
    page.get_by_role("button", name="Purge", exact=True).click()
    expect(page.get_by_role("alert").last).to_contain_text("not its name")
    assert scene.rest.counts("fresh")["ready"] == 2
    page.get_by_label("Type fresh to confirm").fill("fresh")
    page.get_by_role("button", name="Purge", exact=True).click()
    expect(page.locator(".notices")).to_contain_text("2 messages of fresh are gone")

    page.get_by_role("button", name="Delete…").click()
    page.get_by_label("Type fresh to confirm").fill("fresh")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Queues")).to_be_visible()
    names = {each["name"] for each in scene.rest("GET", "/v1/queues")["queues"]}
    assert "fresh" not in names


def test_queues_are_filtered_sorted_and_acted_on_from_the_list(seen: Watched, scene: Scene) -> None:
    page = seen.go("")
    names = page.locator("tbody .name")
    page.get_by_role("button", name="Ready").click()
    expect(names.first).to_have_text("orders")
    page.get_by_label("Filter by name").fill("MENT")
    expect(names).to_have_text(["payments"])
    page.get_by_role("button", name="Actions on payments").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("tbody tr")).to_contain_text("paused")
    scene.rest("PATCH", "/v1/queues/payments", {"settings": {"is_paused": False}})
    expect(page.locator("tbody tr")).not_to_contain_text("paused")  # seen live


def test_messages_are_sent_received_and_deleted_by_hand(seen: Watched, scene: Scene) -> None:
    scene.rest.create("by-hand")
    page = seen.go("hand/by-hand")
    page.get_by_label("Body").fill('{"hello": "world"}')
    page.get_by_label("Copies").fill("3")
    page.get_by_label("Attributes").fill("source = console")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Answer")).to_contain_text("message_id")
    assert scene.rest.counts("by-hand")["ready"] == 3

    receive = page.locator("section", has=page.get_by_role("heading", name="Receive"))
    receive.get_by_label("Batch size").fill("2")
    receive.get_by_role("button", name="Receive").click()
    answer = json.loads(receive.get_by_label("Answer").inner_text())
    assert [each["body"] for each in answer["deliveries"]] == ['{"hello": "world"}'] * 2
    assert answer["deliveries"][0]["attributes"] == {"source": {"string_value": "console"}}

    deleting = page.locator("section", has=page.get_by_role("heading", name="Delete"))
    deleting.get_by_role("button", name="Delete").first.click()
    expect(deleting.get_by_role("row")).to_have_count(2)
    assert scene.rest.counts("by-hand") == {"ready": 1, "delayed": 0, "in_flight": 1}
    deleting.get_by_role("button", name="Give back").click()
    expect(deleting).to_contain_text("Nothing in hand")
    deleting.get_by_label("Receipt handle").fill(answer["deliveries"][0]["receipt_handle"])
    deleting.get_by_role("button", name="Do it").click()
    expect(deleting.get_by_label("Answer")).to_contain_text("gone")

    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_label("Answer").last).to_contain_text('"ready": 2')


def test_what_is_in_hand_stays_there_and_its_visibility_is_changed(seen: Watched, scene: Scene) -> None:
    scene.rest.create("in-hand", visibility_timeout_seconds=600)
    scene.rest.send("in-hand", "mine", "somebody else's")
    page = seen.go("hand/in-hand")
    page.get_by_role("button", name="Receive", exact=True).click()
    page.get_by_role("link", name="mine").click()
    page.get_by_role("button", name="Change visibility…").click()
    page.get_by_label("Seconds from now").fill("3000")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator(".facts")).to_contain_text(re.compile(r"in (49|50)\smin"))
    page.go_back()
    expect(page.get_by_role("row", name="mine")).to_contain_text(re.compile(r"in (49|50)\smin"))
    (other,) = scene.rest.receive("in-hand")
    page = seen.go(f"message/{other['message_id']}")
    expect(page.get_by_role("button", name="Change visibility…")).to_be_disabled()
    page = seen.go("hand/in-hand")
    page.get_by_role("row", name="mine").get_by_role("button", name="Give back").click()
    expect(page.locator("main")).to_contain_text("Nothing in hand")
    assert scene.rest.counts("in-hand") == {"ready": 1, "delayed": 0, "in_flight": 1}


def test_messages_that_are_shown_are_deleted_together(seen: Watched, scene: Scene) -> None:
    scene.rest.create("together")
    scene.rest.send("together", *(f"{color} {number}" for color in ("red", "blue") for number in range(4)))
    page = seen.go("queue/together")
    page.get_by_label("Text in the body").fill("red")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(4)
    page.get_by_label("Select all that are shown").check()
    page.locator("tbody").get_by_role("checkbox").first.uncheck()
    expect(page.get_by_label("Select all that are shown")).not_to_be_checked()
    page.get_by_role("button", name="Delete selected…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete 3 messages")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert scene.rest.counts("together")["ready"] == 5


def test_messages_are_found_without_being_taken(seen: Watched, scene: Scene) -> None:
    page = seen.go("queue/orders")
    rows = page.locator("tbody tr")
    page.get_by_text("More conditions").click()
    page.get_by_label("JSON path").fill("lines.0.sku")
    page.get_by_label("… has the value (JSON)").fill("A-3")
    page.get_by_label("Attribute", exact=True).fill("source")
    page.get_by_label("… has the value", exact=True).fill("app")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(3)
    before = scene.rest("GET", "/v1/queues/orders")["queue"]["received_total"]
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("State").select_option("delayed")
    expect(rows).to_have_count(4)
    page.get_by_label("Group").fill("customer-1")
    page.get_by_label("State").select_option("")
    page.get_by_role("button", name="Search").click()
    expect(rows.first).to_contain_text("customer-1")
    assert scene.rest("GET", "/v1/queues/orders")["queue"]["received_total"] == before


def test_a_message_is_edited_rescheduled_and_deleted(seen: Watched, scene: Scene) -> None:
    scene.rest.create("drafts", history="all")
    (sent,) = scene.rest.send("drafts", {"body": '{"price": 1}', "group_id": "g", "priority": 7})
    page = seen.go(f"message/{sent}")
    page.get_by_role("button", name="Edit and re-send…").click()
    page.get_by_role("textbox", name="Body").fill('{"price": 2}')
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("pre.code")).to_contain_text('"price": 2')
    (found,) = scene.rest("GET", "/v1/queues/drafts/messages")["messages"]
    assert (found["body"], found["group_id"], found["priority"]) == ('{"price": 2}', "g", 7)
    page.get_by_role("button", name="Reschedule…").click()
    page.get_by_label(re.compile("When")).fill("2040-01-01T00:00:00")
    page.get_by_role("button", name="Reschedule", exact=True).click()
    expect(page.locator(".timeline")).to_contain_text("Rescheduled")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("main")).to_contain_text("no such message")
    expect(page.locator(".timeline")).to_contain_text("Deleted")


def test_a_parked_group_is_let_go_on(seen: Watched, scene: Scene) -> None:
    page = seen.go("queue/payments/groups")
    page.get_by_label("Which groups").select_option("Blocked")
    expect(page.get_by_role("row", name="account-0")).to_contain_text("payment 0 in flight")
    page.get_by_label("Which groups").select_option("All groups")
    page.get_by_role("button", name="Unpark account-1").click()
    expect(page.get_by_role("button", name="Park account-1", exact=True)).to_be_visible()
    (group,) = [g for g in scene.rest("GET", "/v1/queues/payments/groups")["groups"] if g["group_id"] == "account-1"]
    assert not group["is_parked"]
    scene.rest("PATCH", "/v1/queues/payments/groups/account-1", {"is_parked": True})


def test_dead_letters_of_one_cause_go_back(seen: Watched, scene: Scene) -> None:
    scene.rest.create("spent-dead")
    redrive = {"dead_letter_queue": "spent-dead", "max_receive_count": 1}
    scene.rest.create("spent", redrive=redrive, visibility_timeout_seconds=0)
    scene.rest.send("spent", *(json.dumps({"task": task}) for task in ("a", "b", "b")))
    until(lambda: not scene.rest.receive("spent", 3) and scene.rest.counts("spent-dead")["ready"] == 3, "they are dead")
    page = seen.go("dead/spent-dead")
    expect(page.locator("main")).to_contain_text("3 dead letters by cause")
    page.get_by_role("button", name="Dry run").click()
    expect(page.locator(".notices")).to_contain_text("3 messages would be moved; nothing was")
    page.get_by_label("Select no reason in b").check()
    page.get_by_role("button", name="Redrive 2 messages…").click()
    page.get_by_label("Begins").select_option("In 10 minutes")
    page.get_by_role("button", name="Redrive", exact=True).click()
    expect(page.locator(".status")).to_have_text("waiting")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".notices")).to_contain_text("Undone; nothing was moved")
    expect(page.locator(".status")).to_have_text("cancelled")
    page.get_by_label("Select no reason in b").check()
    page.get_by_role("button", name="Redrive 2 messages…").click()
    page.get_by_label("Messages per second").fill("100")
    page.get_by_label("Begins").select_option("At once")
    page.get_by_role("button", name="Redrive", exact=True).click()
    expect(page.get_by_role("row", name="completed")).to_be_visible()
    assert (scene.rest.counts("spent")["ready"], scene.rest.counts("spent-dead")["ready"]) == (2, 1)
    page.get_by_label("Select no reason in a").check()
    page.get_by_role("button", name="Edit one…").click()
    page.get_by_role("textbox", name="Body").fill('{"task": "c"}')
    page.get_by_role("button", name="Send").click()
    expect(page.locator("pre.code")).to_contain_text('"c"')
    assert (scene.rest.counts("spent")["ready"], scene.rest.counts("spent-dead")["ready"]) == (3, 0)


def test_jobs_are_cancelled_and_retried(seen: Watched, scene: Scene) -> None:
    app, ids = scene.jobs.app, scene.ids
    job = app.job(scene.jobs.send_invoice.send(99).id)
    until(lambda: job.status() == "failed", "it has failed")
    page = seen.go(f"job/{job.id}")
    before = job.look().record
    page.get_by_role("button", name="Retry").click()
    until(lambda: (now := job.look().record) is not None and now != before and now.finished_at, "it has run again")
    page = seen.go(f"job/{ids['delayed']}")
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel it").click()
    until(lambda: app.job(ids["delayed"]).status() == "cancelled", "it is cancelled")
    expect(page.locator("main .status").first).to_have_text("cancelled")


def test_cancelling_a_job_that_waits_lets_its_workflow_end(seen: Watched, scene: Scene) -> None:
    jobs = scene.jobs
    flow = jobs.app.workflow()
    box = flow.add(jobs.pack.with_options(delay_seconds=3600), 1)
    weight = flow.add(jobs.weigh, box)
    run = flow.send()
    first, second = (run.look().nodes[node.name].job_id for node in (box, weight))
    page = seen.go(f"job/{first}")
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel it").click()
    until(lambda: run.look().status == "cancelled", "the workflow has ended")
    assert {jobs.app.job(each).status() for each in (first, second)} == {"cancelled"}


def test_schedules_are_paused_and_triggered(seen: Watched, scene: Scene) -> None:
    page = seen.go("schedules")
    page.get_by_role("button", name="Pause nightly-report").click()
    expect(page.get_by_role("button", name="Resume nightly-report")).to_be_visible()
    page.get_by_role("button", name="Resume nightly-report").click()
    expect(page.get_by_role("button", name="Pause nightly-report")).to_be_visible()
    page.get_by_role("button", name="Trigger nightly-report").click()
    expect(page.get_by_role("heading", name="charge_card")).to_be_visible()
    expect(page.locator("main .status").first).to_have_text("succeeded")


def test_a_schedule_is_made_edited_and_removed(seen: Watched, scene: Scene) -> None:
    page = seen.go("schedules")
    page.get_by_role("button", name="Create schedule").click()
    page.get_by_label("Name", exact=True).fill("fresh")
    page.get_by_label("Task", exact=True).fill("charge_card")
    page.get_by_label("Cron", exact=True).fill("0 0 31 2 *")
    expect(page.get_by_role("dialog")).to_contain_text("Bad day-of-month")
    page.get_by_label("Cron", exact=True).fill("30 4 1 1 *")
    expect(page.get_by_role("dialog")).to_contain_text("-01-01 04:30:00")
    page.get_by_label("Arguments (JSON by name)").fill('{"order": 1, "amount": 12345678901234567890}')
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("row", name="fresh")).to_contain_text("30 4 1 1 * UTC")
    page.get_by_role("button", name="Edit fresh").click()
    page.get_by_label("Kind").select_option("Interval")
    page.get_by_label("Every (s)").fill("7200")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="fresh")).to_contain_text("every 2 h")
    kept = scene.jobs.app.schedules.get("fresh")
    assert (kept.rule.every_seconds, kept.rule.cron) == (7200, None)
    assert bytes(kept.rule.args["amount"]) == b"12345678901234567890"
    page.get_by_role("button", name="Remove fresh").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("row", name="fresh")).to_have_count(0)


def test_a_worker_is_told_to_drain(seen: Watched, scene: Scene) -> None:
    page = seen.go("workers")
    page.get_by_role("button", name="Drain shop-1@host-b").click()
    page.get_by_role("button", name="Drain", exact=True).click()
    expect(page.locator(".notices")).to_contain_text("It is told")
    (mark,) = scene.rest("POST", "/v1/records/get", {"keys": ["drain/shop-1@host-b"]})["records"]
    assert mark["key"] == "drain/shop-1@host-b"
    scene.rest("POST", "/v1/records/delete", {"keys": ["drain/shop-1@host-b"]})


def test_the_keyboard_suffices(seen: Watched, scene: Scene) -> None:
    page = seen.go("")
    expect(page.locator("tbody tr").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Create queue")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Create queue")).to_be_focused()


def test_a_server_with_keys_asks_for_one(open_page: Open, closed_server: str) -> None:
    seen = open_page(closed_server)
    page = seen.go("")
    page.get_by_label("Access key id").fill("ops")
    page.get_by_label("Secret").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").last).to_contain_text("not accepted")
    page.get_by_label("Access key id").fill("ops")
    page.get_by_label("Secret").fill("sesame")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("No queues yet")
    page.reload()
    expect(page.locator("main")).to_contain_text("No queues yet")  # the browser has a login
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Access key id")).to_be_visible()
