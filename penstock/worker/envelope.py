"""What the body of a job's message says: which task, with which arguments, and what hangs on it.

Plain JSON, so that whoever can send a message can send a job: ``{"task": "add", "args": {"x": 2, "y": 3}}``.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import InvalidRequest


class Dependent(Struct, frozen=True, omit_defaults=True):
    """A job that waits for this one, at a join.

    Attributes:
        join_id: where this one arrives when it has succeeded.
        despite_failure: it arrives there when it has failed for good or was skipped, too.
    """

    join_id: str
    despite_failure: bool = True


class Place(Struct, frozen=True, omit_defaults=True):
    """A job's place in a workflow.

    Attributes:
        workflow_id: which workflow.
        node: its name there.
        after: ids of the jobs it comes after, besides those whose results it takes.
        runs_despite_failure: it runs though one of those failed or was skipped; otherwise it is skipped then.
        dependents: what comes after it.
        keep_ms: its end and result are known so long at least: what comes after it may have to wait for others.
    """

    workflow_id: str
    node: str
    after: tuple[str, ...] = ()
    runs_despite_failure: bool = False
    dependents: tuple[Dependent, ...] = ()
    keep_ms: int = 0


class Envelope(Struct, frozen=True, omit_defaults=True):
    """A job, as it travels.

    Attributes:
        task: name of the task.
        args: the arguments by the names of the parameters, each as JSON; ``*args`` is an array, ``**kwargs`` an object.
        results: parameters that take the results of other jobs: the id of one job, or a list of ids.
        place: where it stands in a workflow.
        holds: keys of records that are forgotten when the job has ended (what makes it unique).
        holds_until_started: keys of records that are forgotten when its first attempt begins.
        trace: context that tracing hands on (W3C Trace Context: ``traceparent``, ``tracestate``).
    """

    task: str
    args: Mapping[str, Raw] = {}
    results: Mapping[str, str | list[str]] = {}
    place: Place | None = None
    holds: tuple[str, ...] = ()
    holds_until_started: tuple[str, ...] = ()
    trace: Mapping[str, str] = {}

    def predecessors(self) -> list[str]:
        """Return the ids of the jobs this one comes after, and of those whose results it takes."""
        wanted = dict.fromkeys(self.place.after if self.place is not None else ())
        for job_ids in self.results.values():
            wanted.update(dict.fromkeys([job_ids] if isinstance(job_ids, str) else job_ids))
        return list(wanted)

    def kept_ms(self, keep_ms: int) -> int:
        """Return how long the end of this job is known, where ``keep_ms`` is how long its task says."""
        return keep_ms if self.place is None else max(keep_ms, self.place.keep_ms)


_decoder = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()


def seal(envelope: Envelope) -> str:
    """Return an envelope as the body of a message."""
    return _encoder.encode(envelope).decode()


def unseal(body: str) -> Envelope:
    """Read the body of a message.

    Raises:
        InvalidRequest: it is no job.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRequest(
            f"The message is no job: {error}.", hint='A job is JSON: {"task": "name", "args": {"parameter": value}}.'
        ) from None
