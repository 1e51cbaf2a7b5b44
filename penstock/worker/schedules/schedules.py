"""The schedules of an app: those its code declares, and what can be done with all that the store keeps."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypedDict, TypeVar, Unpack, get_args

from msgspec import Struct, structs

from penstock.broker.contract import Broker
from penstock.core.effects import Effects, Guard, Record
from penstock.core.errors import GuardFailed, InvalidRequest, PenstockError
from penstock.core.operations import Apply, DeleteRecords, FindRecords, GetRecords
from penstock.worker.arguments import TaskInvalid, WrongArguments
from penstock.worker.jobs import AsyncJob, Job
from penstock.worker.queues import ensure
from penstock.worker.runtime import Runtime
from penstock.worker.schedules.records import (
    SCHEDULE_PREFIX,
    CatchUp,
    Rule,
    ScheduleRecord,
    from_record,
    schedule_key,
    times_of,
    to_record,
)
from penstock.worker.tasks import Sender

T = TypeVar("T")
Args = tuple[Any, ...] | Mapping[str, Any]


class RuleOptions(TypedDict, total=False):
    """When a schedule comes, and what becomes of what was missed; as in ``Rule``."""

    cron: str | None
    zone: str
    every_seconds: float | None
    catch_up: CatchUp
    allows_overlap: bool


ATTEMPTS = 100
"""Somebody else may change the same schedule meanwhile; nobody does so often."""


class ScheduleNotFound(PenstockError):
    """There is no schedule of that name."""

    code = "schedule_not_found"
    fault = "caller"


class Declaration(Struct, frozen=True):
    """A schedule as code declares it. Its arguments are encoded late, when all that annotations name is defined."""

    name: str
    sender: Sender[..., Any]
    args: Args
    rule: Rule

    def complete(self) -> Rule:
        """Return the rule with its arguments. Raises WrongArguments."""
        named = isinstance(self.args, Mapping)
        given, results = self.sender.task.arguments.encode(*(((), self.args) if named else (self.args, {})))
        if results:
            raise WrongArguments("A schedule cannot wait for the result of a job.", hint="Give the value itself.")
        return structs.replace(self.rule, args=given)


class AsyncSchedules:
    """Schedules in the store, for async code; ``Schedules`` does the same for all other."""

    def __init__(self, app: Runtime) -> None:
        self._app = app
        self.declared: dict[str, Declaration] = {}

    def declare(self, name: str, sender: Sender[..., Any], args: Args, **rule: Unpack[RuleOptions]) -> None:
        """Say that a schedule belongs to the app; workers write it down when they start.

        Raises:
            InvalidRequest: there is one of that name already, or its rule cannot be understood.
            WrongArguments: the task cannot be called like that.
        """
        schedule_key(name)
        if name in self.declared:
            raise InvalidRequest(f"There are two schedules called {name}.", field="name")
        declaration = _declaration(name, sender, args, rule)
        with suppress(TaskInvalid):  # an annotation may name what is defined further down
            declaration.complete()
        self.declared[name] = declaration

    async def write_declared(self, broker: Broker) -> None:
        """Bring the store to what the code declares, as a worker does when it starts.

        What is not declared any more is removed, if this app had declared it. A schedule keeps what people did to it
        (paused), and one that is as it was keeps its next occurrence, so that what was missed is caught up with.
        """
        for name, declaration in self.declared.items():
            await ensure(broker, self._app.queue_named(declaration.rule.queue))
            await self._put(broker, name, declaration.complete(), self._app.name)
        for schedule in await _all(broker):
            if schedule.home == self._app.name and schedule.name not in self.declared:
                await broker.perform(DeleteRecords((schedule_key(schedule.name),)))

    async def add(
        self,
        name: str,
        task: Sender[..., Any],
        *,
        args: Args = (),
        **rule: Unpack[RuleOptions],
    ) -> ScheduleRecord:
        """Add a schedule at run time, or change the one of that name; it stays until it is removed.

        Args:
            name, task, args: as in ``App.schedule``.
            rule: ``cron``, ``zone``, ``every_seconds``, ``catch_up``, ``allows_overlap``, as there.

        Raises:
            InvalidRequest: its rule cannot be understood.
            WrongArguments: the task cannot be called like that.
        """
        schedule_key(name)
        complete = _declaration(name, task, args, rule).complete()

        async def work(broker: Broker) -> ScheduleRecord:
            await ensure(broker, self._app.queue_named(complete.queue))
            return await self._put(broker, name, complete, None)

        return await self._app.portal.arun(work)

    async def list(self) -> tuple[ScheduleRecord, ...]:
        """Return all schedules of the store, by name."""
        return await self._app.portal.arun(_all)

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule. Raises ScheduleNotFound."""

        async def work(broker: Broker) -> ScheduleRecord:
            return from_record(await _kept(broker, name))

        return await self._app.portal.arun(work)

    async def pause(self, name: str) -> ScheduleRecord:
        """Send nothing more, until it is resumed. Raises ScheduleNotFound."""
        return await self._change(name, lambda each: structs.replace(each, is_paused=True))

    async def resume(self, name: str) -> ScheduleRecord:
        """Go on with the next occurrence; those of the pause are not caught up with. Raises ScheduleNotFound."""

        def change(each: ScheduleRecord) -> ScheduleRecord:
            if not each.is_paused:
                return each
            return structs.replace(each, is_paused=False, next_at=each.times.after(self._app.clock.now_ms()))

        return await self._change(name, change)

    async def trigger(self, name: str) -> AsyncJob[Any]:
        """Send a job now, paused or not; the occurrences stay what they are. Raises ScheduleNotFound."""
        from penstock.worker.schedules.sending import job_of

        async def work(broker: Broker) -> AsyncJob[Any]:
            schedule = from_record(await _kept(broker, name))
            job_id = self._app.new_id(schedule.rule.queue, schedule.rule.key)
            await ensure(broker, self._app.queue_named(schedule.rule.queue))
            await broker.perform(Apply(Effects(sends=(job_of(self._app, schedule.rule, job_id),))))
            return AsyncJob(self._app, job_id)

        return await self._app.portal.arun(work)

    async def remove(self, name: str) -> None:
        """Forget a schedule; jobs that were sent stay. What code declares comes back when a worker starts.

        Raises:
            ScheduleNotFound: there is none.
        """

        async def work(broker: Broker) -> None:
            record = await _kept(broker, name)
            await broker.perform(DeleteRecords((record.key,)))

        await self._app.portal.arun(work)

    async def _put(self, broker: Broker, name: str, rule: Rule, home: str | None) -> ScheduleRecord:
        now = self._app.clock.now_ms()

        def change(before: ScheduleRecord | None) -> ScheduleRecord:
            if before is None:
                return ScheduleRecord(
                    name=name, rule=rule, next_at=times_of(rule, now).after(now), since=now, checked_at=now, home=home
                )
            if before.rule.timing == rule.timing:
                return structs.replace(before, rule=rule, home=home)
            next_at = times_of(rule, now).after(now)
            return structs.replace(before, rule=rule, home=home, since=now, next_at=next_at, checked_at=now)

        return await _replace(broker, schedule_key(name), change)

    async def _change(self, name: str, change: Callable[[ScheduleRecord], ScheduleRecord]) -> ScheduleRecord:
        def unless_gone(before: ScheduleRecord | None) -> ScheduleRecord:
            if before is None:
                raise _not_found(name)
            return change(before)

        return await self._app.portal.arun(lambda broker: _replace(broker, schedule_key(name), unless_gone))


class Schedules:
    """Schedules in the store; each method is that of ``AsyncSchedules``, and waits."""

    def __init__(self, schedules: AsyncSchedules, app: Runtime) -> None:
        self._async = schedules
        self._app = app

    def add(self, name: str, task: Sender[..., Any], *, args: Args = (), **rule: Unpack[RuleOptions]) -> ScheduleRecord:
        """Add a schedule at run time, or change the one of that name."""
        return self._run(self._async.add(name, task, args=args, **rule))

    def list(self) -> tuple[ScheduleRecord, ...]:
        """Return all schedules of the store, by name."""
        return self._run(self._async.list())

    def get(self, name: str) -> ScheduleRecord:
        """Return a schedule."""
        return self._run(self._async.get(name))

    def pause(self, name: str) -> ScheduleRecord:
        """Send nothing more, until it is resumed."""
        return self._run(self._async.pause(name))

    def resume(self, name: str) -> ScheduleRecord:
        """Go on with the next occurrence."""
        return self._run(self._async.resume(name))

    def trigger(self, name: str) -> Job[Any]:
        """Send a job now."""
        return Job(self._run(self._async.trigger(name)))

    def remove(self, name: str) -> None:
        """Forget a schedule."""
        self._run(self._async.remove(name))

    def _run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._app.portal.run(lambda _: asked)


def _declaration(name: str, sender: Sender[..., Any], args: Args, rule: RuleOptions) -> Declaration:
    task, options = sender.task, sender.call_options
    for refused in ("delay_seconds", "at", "deduplication_id", "job_id"):
        if getattr(options, refused) is not None:
            raise InvalidRequest(f"A schedule sends without {refused}.", hint="Leave it out.", field=refused)
    whole = Rule(
        task=task.name,
        queue=options.queue or task.options.queue,
        priority=task.options.priority if options.priority is None else options.priority,
        key=options.key,
        **rule,
    )
    if whole.catch_up not in get_args(CatchUp):
        raise InvalidRequest(f"catch_up={whole.catch_up!r} means nothing.", hint="skip, last or all.", field="catch_up")
    times_of(whole, 0)
    return Declaration(name, sender, args, whole)


async def _all(broker: Broker) -> tuple[ScheduleRecord, ...]:
    found: list[Record] = []
    after: str | None = ""
    while after is not None:
        page = await broker.perform(FindRecords(SCHEDULE_PREFIX, after=after, limit=1000))
        found += page.records
        after = page.next_after
    return tuple(map(from_record, found))


async def _kept(broker: Broker, name: str) -> Record:
    (record,) = (await broker.perform(GetRecords((schedule_key(name),)))).records
    if record is None:
        raise _not_found(name)
    return record


def _not_found(name: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"There is no schedule {name!r}.", hint="`penstock schedule list` shows what there is.")


async def _replace(
    broker: Broker, key: str, change: Callable[[ScheduleRecord | None], ScheduleRecord]
) -> ScheduleRecord:
    """Change a record as it is at the time, whoever else does."""
    for _ in range(ATTEMPTS):
        (record,) = (await broker.perform(GetRecords((key,)))).records
        before = None if record is None else from_record(record)
        after = change(before)
        if after == before:
            return after
        guard = Guard(key, None if record is None else record.value)
        with suppress(GuardFailed):
            await broker.perform(Apply(Effects(guards=(guard,), records=(to_record(after),))))
            return after
    raise GuardFailed(f"{key} is changed by others all the time.", hint="Try again.")
