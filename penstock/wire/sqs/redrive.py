"""RedrivePolicy and RedriveAllowPolicy: which queue takes spent messages, and from whom.

Source: SQS API reference, ``SetQueueAttributes``; developer guide, "Using dead-letter queues".
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct, field

from penstock.core.operations import ListQueues, QueuesReply
from penstock.core.queues import QueueDescription, RedrivePolicy
from penstock.wire.http import Call, Step
from penstock.wire.sqs.errors import SqsError, invalid
from penstock.wire.sqs.names import Address, AddressBook

POLICY = "RedrivePolicy"
ALLOW_POLICY = "RedriveAllowPolicy"
_MOST_RECEIVES = 1000
_MOST_SOURCES = 10


class RedriveWanted(Struct, frozen=True):
    """A redrive policy as a caller asked for it: the queue it names, how many receives, and the text itself."""

    target: Address
    max_receive_count: int
    text: str

    @property
    def policy(self) -> RedrivePolicy:
        """The same as the core keeps it."""
        return RedrivePolicy(self.target.queue, self.max_receive_count)

    def refusal(self, reason: str) -> SqsError:
        """The error of a policy that cannot be."""
        return invalid(POLICY, self.text, reason)


class _AllowPolicy(Struct, rename="camel"):
    redrive_permission: str
    source_queue_arns: list[str] = field(default_factory=list)


def redrive_of(text: str, addresses: AddressBook) -> RedriveWanted:
    """Return what the text of a RedrivePolicy asks for.

    Raises:
        SqsError: it is no JSON map, a member is missing or malformed.
    """
    policy = _json_map(text)
    if policy is None:
        raise invalid(POLICY, text, "Redrive policy is not a valid JSON map.")
    for member in ("deadLetterTargetArn", "maxReceiveCount"):
        if policy.get(member) is None:
            raise invalid(POLICY, text, f"Redrive policy does not contain mandatory attribute: {member}.")
    arn, count = policy["deadLetterTargetArn"], policy["maxReceiveCount"]
    target = addresses.of_arn(arn) if isinstance(arn, str) else None
    if target is None:
        raise invalid(POLICY, text, "Invalid value for deadLetterTargetArn.")
    try:
        number = int(count) if isinstance(count, str | int) and not isinstance(count, bool) else 0
    except ValueError:
        number = 0
    if not 1 <= number <= _MOST_RECEIVES:
        raise invalid(
            POLICY,
            text,
            f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to {_MOST_RECEIVES} both inclusive.",
        )
    return RedriveWanted(target, number, text)


def check_allow_policy(text: str) -> None:
    """Refuse the text of a RedriveAllowPolicy that is none."""
    policy = _allow_policy(text)
    if policy is None or policy.redrive_permission not in ("allowAll", "denyAll", "byQueue"):
        raise invalid(
            ALLOW_POLICY,
            text,
            "Amazon SQS can't create the redrive allow policy, as it's in an unsupported format.",
        )
    by_queue = policy.redrive_permission == "byQueue"
    if by_queue is not bool(policy.source_queue_arns) or len(policy.source_queue_arns) > _MOST_SOURCES:
        raise invalid(
            ALLOW_POLICY,
            text,
            f"sourceQueueArns must hold 1 to {_MOST_SOURCES} ARNs when redrivePermission is byQueue, "
            "and cannot be given otherwise.",
        )


def find_queue(queue: Address, then: Callable[[QueueDescription | None], Step]) -> Call:
    """Look for a queue that need not exist."""

    def found(reply: QueuesReply) -> Step:
        first = reply.queues[0] if reply.queues else None
        return then(first if first is not None and first.name == queue.queue else None)

    # of all names that begin with this one, it is itself the first
    return Call(ListQueues(prefix=queue.queue, limit=1), found)


def checked(wanted: RedriveWanted | None, source: Address, then: Callable[[], Step]) -> Step:
    """Go on if the dead-letter queue that a policy names may serve ``source``.

    Raises:
        SqsError: by a later step, if it is missing, of another kind or owner, or does not allow it.
    """
    if wanted is None or wanted.target == source:
        return then()
    if (wanted.target.account, wanted.target.region) != (source.account, source.region):
        raise wanted.refusal("Dead-letter target owner should be same as the source.")
    if wanted.target.is_fifo is not source.is_fifo:
        raise wanted.refusal("Dead-letter queue must be same type of queue as the source.")

    def found(target: QueueDescription | None) -> Step:
        if target is None:
            raise wanted.refusal("Dead letter target does not exist.")
        if not _allows(target.settings.edge_attributes.get(ALLOW_POLICY), source):
            raise wanted.refusal("Source queue is not allowed to use the dead-letter queue by its RedriveAllowPolicy.")
        return then()

    return find_queue(wanted.target, found)


def _allows(text: str | None, source: Address) -> bool:
    policy = None if text is None else _allow_policy(text)
    if policy is None or policy.redrive_permission == "allowAll":
        return True
    return policy.redrive_permission == "byQueue" and source.arn in policy.source_queue_arns


def _allow_policy(text: str) -> _AllowPolicy | None:
    try:
        return msgspec.json.decode(text, type=_AllowPolicy)
    except (msgspec.DecodeError, RecursionError):
        return None


def _json_map(text: str) -> dict[str, object] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return None
