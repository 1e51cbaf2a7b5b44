"""Jobs on their way into the queue."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from penstock.broker.contract import Broker
from penstock.core.effects import FollowUp
from penstock.core.errors import MessageTooLarge, PenstockError, QueueNotFound, error_from
from penstock.core.messages import Draft
from penstock.core.operations import Refused, Send, SendOutcome, Sent
from penstock.worker.queues import QueueDefinition, ensure
from penstock.worker.unique import Claim, send_unique

AT_ONCE = 500
"""How many messages one operation takes along."""


class Request(Struct, frozen=True):
    """A job that is to be sent: its queue and its message, whose id is the job's, and what makes it unique."""

    queue: str
    message: Draft
    claim: Claim | None = None

    @property
    def job_id(self) -> str:
        """The id the message was given."""
        assert self.message.message_id is not None
        return self.message.message_id


class SomeRefused(PenstockError):
    """Of several jobs some were not accepted; the others were sent."""

    code = "some_refused"
    fault = "caller"


async def send(
    broker: Broker, requests: Sequence[Request], definition: Callable[[str], QueueDefinition], now: int
) -> list[str]:
    """Send jobs and return their ids; a queue that is not there is made.

    A job that the queue holds to be a duplicate (same deduplication id), or that is unique and is there already, has
    the id of the one sent before.

    Raises:
        PenstockError: the only job, or all of a queue's, were not accepted.
        SomeRefused: some were not.
        JobExists: a unique one is there already, and that is how its task wants it; the ones before it were sent.
    """
    ids: dict[int, str] = {}
    problems = []
    by_queue: dict[str, list[int]] = {}
    for index, request in enumerate(requests):
        if request.claim is not None:
            ids[index] = await _send_unique(broker, request, request.claim, definition, now)
            continue
        by_queue.setdefault(request.queue, []).append(index)
    for queue, indexes in by_queue.items():
        for start in range(0, len(indexes), AT_ONCE):
            part = indexes[start : start + AT_ONCE]
            drafts = tuple(requests[index].message for index in part)
            outcomes = await _send(broker, definition(queue), drafts)
            for index, outcome in zip(part, outcomes, strict=True):
                if isinstance(outcome, Refused):
                    problems.append(outcome.problem)
                else:
                    assert isinstance(outcome, Sent)
                    ids[index] = outcome.message_id
    if problems:
        if len(problems) == len(requests):
            raise error_from(problems[0])
        raise SomeRefused(
            f"{len(problems)} of {len(requests)} jobs were not accepted; the first: {problems[0].message}",
            hint=problems[0].hint,
        )
    return [ids[index] for index in range(len(requests))]


async def _send_unique(
    broker: Broker, request: Request, claim: Claim, definition: Callable[[str], QueueDefinition], now: int
) -> str:
    message = FollowUp(request.queue, request.message)
    try:
        return await send_unique(broker, claim, message, now)
    except QueueNotFound:
        await ensure(broker, definition(request.queue))
        return await send_unique(broker, claim, message, now)


async def _send(broker: Broker, queue: QueueDefinition, drafts: tuple[Draft, ...]) -> tuple[SendOutcome, ...]:
    try:
        return (await broker.perform(Send(queue.name, drafts))).outcomes
    except QueueNotFound:
        await ensure(broker, queue)
        return await _send(broker, queue, drafts)
    except MessageTooLarge as error:  # all together: a server also limits the size of a request
        if len(drafts) == 1:
            return (Refused(error.problem),)
        half = len(drafts) // 2
        return await _send(broker, queue, drafts[:half]) + await _send(broker, queue, drafts[half:])
