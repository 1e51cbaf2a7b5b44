"""A workflow on its way into the store: all of it in one step, or where that would be too much, so that nothing runs
before the last step and that step is whole."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct, structs

from penstock.broker.contract import Broker
from penstock.core.effects import Arrival, Effects, FollowUp, Guard, Join, Record
from penstock.core.errors import GuardFailed, PenstockError, QueueNotFound, StoreUnavailable
from penstock.core.operations import Apply, Cancel, GetRecords, PutRecords
from penstock.worker.queues import QueueDefinition, ensure
from penstock.worker.workflows.records import FlowRecord, flow_key, from_flow, to_flow, to_messages

IN_ONE_STEP_BYTES = 1 << 20
"""More than this does not go into one operation: servers bound the size of a request."""

FIRST_IN_ONE_STEP = 1000

START = "start"
"""The part that the jobs which come first wait for, where they are sent ahead."""

AHEAD_MS = 3_600_000
"""How long what was sent ahead waits for the last step. If that does not come, its sender has died."""

WAITING_AHEAD_MS = 366 * 86_400_000

QueueNamed = Callable[[str], QueueDefinition]


class WorkflowExists(PenstockError):
    """Another workflow of this id was sent before."""

    code = "workflow_exists"
    fault = "caller"


class Launch(Struct, frozen=True, kw_only=True):
    """Jobs that start together.

    Attributes:
        first: what may run at once.
        later: joins that send the others.
        guards, forgets, record: what must hold and what else happens in the same step.
        ahead: records that may be kept before.
    """

    first: Sequence[FollowUp]
    later: Sequence[Join]
    guards: tuple[Guard, ...] = ()
    forgets: tuple[str, ...] = ()
    record: Record
    ahead: Sequence[Record] = ()

    async def perform(self, broker: Broker, queue_named: QueueNamed, now: int) -> None:
        """Start them, all or none.

        Raises:
            GuardFailed: a guard does not hold; what was sent ahead is taken back.
            PenstockError: nothing runs; what was sent ahead is forgotten in time, or used when this is done again.
        """
        records = [self.record, *self.ahead]
        first, later, arrivals = list(self.first), list(self.later), list[Arrival]()
        ahead: list[Join] = []
        if len(first) > FIRST_IN_ONE_STEP or _bytes(first) > IN_ONE_STEP_BYTES:
            for each in first:
                job_id = each.message.message_id or ""
                ahead.append(Join(job_id, 1, each, now + AHEAD_MS))
                arrivals.append(Arrival(job_id, START))
            first = []
        if sum(len(record.value) for record in records) > IN_ONE_STEP_BYTES // 4:
            records = [self.record]
            for record in self.ahead:
                await broker.perform(PutRecords((record,)))
        if _bytes(join.follow_up for join in later) > IN_ONE_STEP_BYTES:
            ahead += [structs.replace(join, expires_at=now + WAITING_AHEAD_MS) for join in later]
            later = []
        for part in _parts(ahead):
            await _apply(broker, Effects(joins=tuple(part)), queue_named)
        effects = Effects(
            guards=self.guards,
            forgets=self.forgets,
            sends=tuple(first),
            records=tuple(records),
            joins=tuple(later),
            arrivals=tuple(arrivals),
        )
        try:
            await _apply(broker, effects, queue_named)
        except GuardFailed:
            ids = [join.follow_up.message.message_id or "" for join in ahead]
            for start in range(0, len(ids), FIRST_IN_ONE_STEP):
                await broker.perform(Cancel(tuple(ids[start : start + FIRST_IN_ONE_STEP])))
            raise


class Definition(Struct, frozen=True):
    """A workflow as it is sent: its definition, and the message of each node."""

    workflow_id: str
    flow: FlowRecord
    messages: Sequence[FollowUp]

    async def send(self, broker: Broker, queue_named: QueueNamed, now: int) -> FlowRecord:
        """Send it, unless it was sent before.

        Returns:
            The definition that holds: this one, or that of the same steps sent before.

        Raises:
            WorkflowExists: one of this id with other steps was sent before.
        """
        flow = structs.replace(self.flow, sent_at=now)
        until = now + flow.keep_ms
        key = flow_key(self.workflow_id)
        job_ids = flow.job_ids()
        launch = Launch(
            first=[message for node, message in zip(flow.nodes, self.messages, strict=True) if not node.after],
            later=[
                Join(job_id, len(node.after), message)
                for job_id, node, message in zip(job_ids, flow.nodes, self.messages, strict=True)
                if node.after
            ],
            guards=(Guard(key, None),),
            record=to_flow(self.workflow_id, flow, until),
            ahead=to_messages(self.workflow_id, self.messages, until),
        )
        is_again = False
        while True:
            before = from_flow((await broker.perform(GetRecords((key,)))).records[0])
            if before is not None:
                if not before.is_like(flow):
                    raise WorkflowExists(
                        f"Another workflow was sent as {self.workflow_id!r}.",
                        hint="Give this one an id of its own, or the same steps.",
                    )
                return before
            try:
                await launch.perform(broker, queue_named, now)
            except GuardFailed:
                continue
            except StoreUnavailable:
                if is_again:
                    raise
                is_again = True  # it may have happened: the definition tells
                continue
            return flow


def _bytes(messages: Iterable[FollowUp]) -> int:
    return sum(len(each.message.body) for each in messages)


def _parts(joins: Sequence[Join]) -> list[list[Join]]:
    """Return joins in parts that go into one operation each."""
    parts: list[list[Join]] = []
    room = 0
    for join in joins:
        size = len(join.follow_up.message.body) + 500
        if not parts or size > room:
            parts.append([])
            room = IN_ONE_STEP_BYTES
        parts[-1].append(join)
        room -= size
    return parts


async def _apply(broker: Broker, effects: Effects, queue_named: QueueNamed) -> None:
    try:
        await broker.perform(Apply(effects))
    except QueueNotFound:
        for queue in {each.queue for each in (*effects.sends, *(join.follow_up for join in effects.joins))}:
            await ensure(broker, queue_named(queue))
        await broker.perform(Apply(effects))
