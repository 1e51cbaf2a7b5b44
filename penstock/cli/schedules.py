"""``penstock schedule ...``: list, pause, resume, trigger and remove schedules."""

from typing import Annotated, Any

import msgspec
import typer

from penstock.cli.apps import Place
from penstock.cli.gathering import CommandGroup
from penstock.cli.output import Answers, Tinted
from penstock.cli.times import told_instant
from penstock.worker.schedules.records import ScheduleRecord

app = CommandGroup("Schedules: list, pause, resume, trigger and remove them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.", show_default=False)]


@app.command("list")
def list_schedules(
    place: Place,
    answer: Answers,
    upcoming: Annotated[int, typer.Option("--next", min=1, max=100, help="How many occurrences to show.")] = 1,
) -> None:
    """List schedules and when they come next."""
    found = place.run(lambda app, _: app.async_schedules.list())
    answer.table(
        [_whole(each, upcoming) for each in found],
        ("Schedule", "Rule", "Task", "Next", "Last", "Last job"),
        lambda: (
            (
                each.name,
                _rule(each),
                each.rule.task,
                _next(each, upcoming),
                told_instant(each.last_at),
                each.last_job_id or "",
            )
            for each in found
        ),
        nothing="There is no schedule.",
    )


@app.command("pause")
def pause(name: Name, place: Place, answer: Answers) -> None:
    """Send nothing more, until it is resumed."""
    schedule = place.run(lambda app, _: app.async_schedules.pause(name))
    answer(_whole(schedule, 1), f"{name} is paused.")


@app.command("resume")
def resume(name: Name, place: Place, answer: Answers) -> None:
    """Go on with the next occurrence; those of the pause are not caught up with."""
    schedule = place.run(lambda app, _: app.async_schedules.resume(name))
    answer(_whole(schedule, 1), f"{name} goes on at {told_instant(schedule.next_at)}.")


@app.command("trigger")
def trigger(name: Name, place: Place, answer: Answers) -> None:
    """Send its job now; its times stay what they are."""
    job = place.run(lambda app, _: app.async_schedules.trigger(name))
    answer({"job_id": job.id}, job.id)


@app.command("remove")
def remove(name: Name, place: Place, answer: Answers) -> None:
    """Forget a schedule. One that an app declares comes back when a worker of it starts: pause that."""
    place.run(lambda app, _: app.async_schedules.remove(name))
    answer({"removed": name}, f"Removed {name}.")


def _whole(schedule: ScheduleRecord, upcoming: int) -> dict[str, Any]:
    occurrences = () if schedule.is_paused else schedule.upcoming(upcoming)
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schedule))
    return whole | {"is_paused": schedule.is_paused, "upcoming": occurrences}


def _rule(schedule: ScheduleRecord) -> str:
    rule = schedule.rule
    return f"every {rule.every_seconds:g} s" if rule.every_seconds is not None else f"{rule.cron} {rule.zone}"


def _next(schedule: ScheduleRecord, upcoming: int) -> object:
    return (
        Tinted("paused", "yellow") if schedule.is_paused else ", ".join(map(told_instant, schedule.upcoming(upcoming)))
    )
