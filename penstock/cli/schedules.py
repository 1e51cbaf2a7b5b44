"""``penstock schedule ...``: list, pause, resume, trigger and remove schedules."""

from typing import Annotated, Any

import msgspec
import typer

from penstock.cli.apps import AppReference, instant, workplace
from penstock.cli.output import print_json, print_table, say
from penstock.cli.target import Json, KeyPair, StoreUrl, Url
from penstock.worker.schedules.records import ScheduleRecord

app = typer.Typer(
    help="List, pause, resume, trigger and remove schedules.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.", show_default=False)]


@app.command("list")
def list_schedules(
    upcoming: Annotated[int, typer.Option("--next", min=1, max=100, help="How many occurrences to show.")] = 1,
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """List schedules and when they come next."""
    found = workplace(app_reference, url, store, key).run(lambda app, _: app.async_schedules.list())
    if as_json:
        print_json([_whole(each, upcoming) for each in found])
    elif not found:
        say("There is no schedule.")
    else:
        rows = [
            (
                each.name,
                _rule(each),
                each.rule.task,
                _next(each, upcoming),
                instant(each.last_at),
                each.last_job_id or "",
            )
            for each in found
        ]
        print_table(("Schedule", "Rule", "Task", "Next", "Last"), rows)


@app.command("pause")
def pause(
    name: Name,
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Send nothing more, until it is resumed."""
    schedule = workplace(app_reference, url, store, key).run(lambda app, _: app.async_schedules.pause(name))
    _tell(schedule, as_json, f"{name} is paused.")


@app.command("resume")
def resume(
    name: Name,
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Go on with the next occurrence; those of the pause are not caught up with."""
    schedule = workplace(app_reference, url, store, key).run(lambda app, _: app.async_schedules.resume(name))
    _tell(schedule, as_json, f"{name} goes on at {instant(schedule.next_at)}.")


@app.command("trigger")
def trigger(
    name: Name,
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Send its job now; its times stay what they are."""
    job = workplace(app_reference, url, store, key).run(lambda app, _: app.async_schedules.trigger(name))
    if as_json:
        print_json({"job_id": job.id})
    else:
        say(job.id)


@app.command("remove")
def remove(
    name: Name,
    as_json: Json = False,
    app_reference: AppReference = None,
    url: Url = None,
    store: StoreUrl = None,
    key: KeyPair = None,
) -> None:
    """Forget a schedule. One that an app declares comes back when a worker of it starts: pause that."""

    place = workplace(app_reference, url, store, key)
    place.run(lambda app, _: app.async_schedules.remove(name))
    if as_json:
        print_json({"removed": name})
    else:
        say(f"Removed {name}.")


def _tell(schedule: ScheduleRecord, as_json: bool, text: str) -> None:
    if as_json:
        print_json(_whole(schedule, 1))
    else:
        say(text)


def _whole(schedule: ScheduleRecord, upcoming: int) -> dict[str, Any]:
    occurrences = () if schedule.is_paused else schedule.upcoming(upcoming)
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schedule))
    return whole | {"is_paused": schedule.is_paused, "upcoming": occurrences}


def _rule(schedule: ScheduleRecord) -> str:
    rule = schedule.rule
    return f"every {rule.every_seconds:g} s" if rule.every_seconds is not None else f"{rule.cron} {rule.zone}"


def _next(schedule: ScheduleRecord, upcoming: int) -> str:
    return "paused" if schedule.is_paused else ", ".join(map(instant, schedule.upcoming(upcoming)))
