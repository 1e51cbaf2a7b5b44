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
from penstock.worker.envelope import Envelope, Place, unseal
from penstock.worker.outcomes import Backoff, Failed, Outcome, RetryPolicy, Stopped
from penstock.worker.records import NOTHING, Failure, JobRecord, Status, cancel_key, from_record, job_key

AT_ONCE = 1000

UNKNOWN_TASK = RetryPolicy(max_attempts=20, backoff=Backoff(5, 2, 60))
"""A task this worker does not know, another one may: during a deployment, the newer ones."""


class UnknownTask(Exception):
    """This worker has no task of that name."""


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
        if held.delivery.receive_count > 1:
            stopped = await self._look_back(held, envelope)
            if stopped is not None:
                return stopped
        task = held.task = self._app.tasks.get(envelope.task)
        if task is None:
            known = ", ".join(sorted(self._app.tasks)) or "none"
            unknown = UnknownTask(f"no task is called {envelope.task!r} here; there are: {known}")
            return UNKNOWN_TASK.decide(unknown, held.attempt, held.job_id)
        skipped = await self._skipped(envelope.place)
        if skipped is not None:
            return skipped
        try:
            args = await self._with_results(envelope)
        except LookupError as error:
            return Failed(Failure("ResultMissing", str(error)))
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
        crashes = received - 1 - counted
        held.record = record
        held.attempt = (record.attempts if record is not None else 0) + crashes + 1
        if mark is not None:
            return Stopped()
        task = self._app.tasks.get(envelope.task)
        if task is not None and crashes >= task.options.crash_limit:
            times = f"{crashes} times in a row"
            return Failed(Failure("WorkerLost", f"the worker that ran it died or lost it, {times}; it is given up"))
        return None

    async def _skipped(self, place: Place | None) -> Outcome | None:
        """Return how a job of a workflow ends when one that it comes after has failed."""
        if place is None or place.runs_despite_failure:
            return None
        for job_id, record in zip(place.after, await self._records(place.after), strict=True):
            if record is not None and record.status in (Status.FAILED, Status.CANCELLED):
                return Stopped(Failure("Skipped", f"job {job_id}, which it comes after, {_end_of(record)}"))
        return None

    async def _with_results(self, envelope: Envelope) -> Mapping[str, Raw]:
        """Return the arguments with the results of other jobs filled in. Raises LookupError: one is not known."""
        if not envelope.results:
            return envelope.args
        args = dict(envelope.args)
        for name, wanted in envelope.results.items():
            job_ids = [wanted] if isinstance(wanted, str) else wanted
            results = []
            for job_id, record in zip(job_ids, await self._records(job_ids), strict=True):
                if record is None:
                    raise LookupError(f"the result of job {job_id} is not known, or not any more")
                results.append(record.result or Raw(b"null"))
            args[name] = results[0] if isinstance(wanted, str) else Raw(b"[" + b",".join(results) + b"]")
        return args

    async def _records(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        found: list[Record | None] = []
        for start in range(0, len(job_ids), AT_ONCE):
            keys = tuple(map(job_key, job_ids[start : start + AT_ONCE]))
            found += (await self._broker.perform(GetRecords(keys))).records
        return [from_record(record) for record in found]

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


def _end_of(record: JobRecord) -> str:
    said = "failed" if record.status is Status.FAILED else "was cancelled"
    return f"{said}: {record.failure}" if record.failure is not None else said
