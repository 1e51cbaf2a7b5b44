"""Before a job runs: what its message says, what was written down of it, and whether it can and may run."""

from collections.abc import Mapping, Sequence

from msgspec import Raw

from penstock.broker.contract import Broker
from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest
from penstock.core.operations import GetRecords
from penstock.worker.app import App
from penstock.worker.context import JobContext
from penstock.worker.engine.held import Held
from penstock.worker.envelope import Envelope, unseal
from penstock.worker.outcomes import Backoff, Failed, Outcome, RetryPolicy, Stopped
from penstock.worker.records import NOTHING, Failure, JobRecord, Status, cancel_key, from_record, job_key

AT_ONCE = 1000

UNTRIED_FACTOR = 4
"""A job that kills its worker before it can be put on trial is given up after so many times its limit."""

UNKNOWN_TASK = RetryPolicy(max_attempts=20, backoff=Backoff(5, 2, 60))
"""A task this worker does not know, another one may: during a deployment, the newer ones."""


MISSING_RESULT = RetryPolicy(max_attempts=12, backoff=Backoff(0.2, 2, 10))
"""A result that is not there may be on its way from another shard of the store."""


class UnknownTask(Exception):
    """This worker has no task of that name."""


class ResultMissing(LookupError):
    """The result of a job that this one needs is not there."""


class Preparing:
    """Looks at jobs before they run.

    Args:
        app: knows the tasks.
        broker: performs the operations.
    """

    def __init__(self, app: App, broker: Broker) -> None:
        self._app = app
        self._broker = broker

    async def prepare(self, held: Held) -> Outcome | Mapping[str, Raw]:
        """Return the arguments to run a job with, or how it ends without being run."""
        try:
            envelope = held.envelope = unseal(held.delivery.body)
        except InvalidRequest as error:
            return Failed(Failure("NoJob", f"{error} {error.problem.hint}"))
        task = held.task = self._app.tasks.get(envelope.task)
        if held.delivery.receive_count > 1:
            stopped = await self._look_back(held, envelope)
            if stopped is not None:
                return stopped
        if task is None:
            known = ", ".join(sorted(self._app.tasks)) or "none"
            unknown = UnknownTask(f"no task is called {envelope.task!r} here; there are: {known}")
            return UNKNOWN_TASK.decide(unknown, held.attempt, held.job_id)
        args: Outcome | Mapping[str, Raw] = envelope.args
        if envelope.place is not None or envelope.results:
            args = await self._in_workflow(held.job_id, held.attempt, envelope)
            if not isinstance(args, Mapping):
                return args
        held.context = self._context(held, envelope)
        return args

    async def _look_back(self, held: Held, envelope: Envelope) -> Outcome | None:
        """Find out what became of earlier deliveries; return how the job ends if it is not to run again."""
        keys = (job_key(held.job_id), cancel_key(held.job_id))
        kept, mark = (await self._broker.perform(GetRecords(keys))).records
        record = from_record(kept)
        received = held.delivery.receive_count
        if record is not None and (record.status is Status.FAILED or record.receive_count >= received):
            # of a life before: the job was redriven, or its key resumed, and begins anew
            record = JobRecord(record.task, receive_count=received - 1 if record.status is Status.FAILED else 0)
        counted = record.receive_count if record is not None else 0
        crashes = held.crash_count = received - 1 - counted
        held.record = record
        held.attempt = (record.attempts if record is not None else 0) + crashes + 1
        if mark is not None:
            return Stopped()
        task = self._app.tasks.get(envelope.task)
        if task is None or crashes < task.options.crash_limit:
            return None
        # others may have killed those workers, so only a trial tells; unless it never comes to one
        is_tried = record is not None and record.trial == received - 1
        if crashes == 1 or is_tried or crashes >= UNTRIED_FACTOR * task.options.crash_limit:
            times = f"{crashes} times in a row"
            return Failed(Failure("WorkerLost", f"the worker that ran it died or lost it, {times}; it is given up"))
        return None

    async def _in_workflow(self, job_id: str, attempt: int, envelope: Envelope) -> Outcome | Mapping[str, Raw]:
        """Return the arguments with the results of other jobs, or how a job ends that those do not let run."""
        predecessors = envelope.predecessors()
        mark, *kept = await self._kept((cancel_key(job_id), *map(job_key, predecessors)))
        if mark is not None:
            return Stopped()
        records = dict(zip(predecessors, map(from_record, kept), strict=True))
        if envelope.place is not None and not envelope.place.runs_despite_failure:
            for other, record in records.items():
                if record is not None and record.status in (Status.FAILED, Status.CANCELLED):
                    return Stopped(Failure("Skipped", f"job {other}, which it comes after, {_end_of(record)}"))
        try:
            return _with_results(envelope, records)
        except ResultMissing as missing:
            return MISSING_RESULT.decide(missing, attempt, job_id)

    async def _kept(self, keys: Sequence[str]) -> list[Record | None]:
        found: list[Record | None] = []
        for start in range(0, len(keys), AT_ONCE):
            found += (await self._broker.perform(GetRecords(tuple(keys[start : start + AT_ONCE])))).records
        return found

    def _context(self, held: Held, envelope: Envelope) -> JobContext:
        assert held.task is not None
        options = held.task.options
        now = self._app.clock.now_ms()
        held.started_at = now
        limit = options.time_limit_seconds
        return JobContext(
            job_id=held.job_id,
            task=envelope.task,
            queue=held.queue,
            attempt=held.attempt,
            max_attempts=options.retry.max_attempts,
            key=held.delivery.group_id,
            sent_at=held.delivery.sent_at,
            deadline_at=None if limit is None else now + round(limit * 1000),
            workflow_id=envelope.place.workflow_id if envelope.place is not None else None,
            trace=dict(envelope.trace),
            checkpoint=held.record.checkpoint if held.record is not None else NOTHING,
            tell=held.tell,
        )


def _with_results(envelope: Envelope, records: Mapping[str, JobRecord | None]) -> Mapping[str, Raw]:
    """Return the arguments with the results of other jobs filled in; a job without one, because it failed, gives null.

    Raises:
        ResultMissing: a job that succeeded is not known, or not any more.
    """
    args = dict(envelope.args)
    for name, wanted in envelope.results.items():
        results = []
        for job_id in [wanted] if isinstance(wanted, str) else wanted:
            record = records[job_id]
            if record is None:
                raise ResultMissing(f"the result of job {job_id} is not known, or not any more")
            results.append(record.result or Raw(b"null"))
        args[name] = results[0] if isinstance(wanted, str) else Raw(b"[" + b",".join(results) + b"]")
    return args


def _end_of(record: JobRecord) -> str:
    said = "failed" if record.status is Status.FAILED else "was cancelled"
    return f"{said}: {record.failure}" if record.failure is not None else said
