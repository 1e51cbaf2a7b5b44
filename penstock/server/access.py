"""What a caller may do: what the rights of their key or login cover; of that, with queues of their own account all that
no policy denies, with others what one allows.

A queue of the server's own account has a plain name, any other is called ``region/account/name``. What names no queue
but a message id, a record or the feed reaches into all accounts, and so is for the server's own account only.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

from penstock.broker.contract import Broker
from penstock.core.errors import AccessDenied
from penstock.core.operations import CreateQueue, DeleteQueue, Operation, UpdateQueue
from penstock.core.partitions import queue_of
from penstock.core.policies import Caller, Verdict, verdict
from penstock.core.rights import Right
from penstock.server.demands import OWN, demands_of, is_about_policy, only_queue_of
from penstock.server.needs import RIGHT_OF, is_allowed, needs_of, seen
from penstock.server.policies import QueuePolicies
from penstock.wire.http import Request
from penstock.wire.sqs.names import partition_of
from penstock.wire.sqs.permissions import SHAREABLE

_CHANGES_POLICY = frozenset({CreateQueue, DeleteQueue, UpdateQueue})


class Access:
    """Decides on operations. Only for servers with keys: without, there is no telling who calls.

    Args:
        broker: tells the policies of queues.
        account, region: of the queues that have plain names.
        now_ms: the time, for policies with dates.
        monotonic_seconds: the process's clock, by which policies grow old.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        account: str,
        region: str,
        now_ms: Callable[[], int],
        monotonic_seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._policies = QueuePolicies(broker, account, region, monotonic_seconds)
        self._kept = self._policies.kept
        self._now_ms = now_ms
        self._now = monotonic_seconds

    def is_plain(self, request: Request, operation: Operation[Any]) -> bool:
        """Return whether an operation may pass at a glance: on one queue of the caller's, that denies nothing.

        Args:
            request: who asks, and how.
            operation: what they ask for.
        """
        queue = only_queue_of(operation)
        if queue is None:
            return False
        known = self._kept.get(queue_of(queue))
        return (
            known is not None
            and known.owner == request.account
            and not known.has_denials
            and self._now() < known.until
            and (request.rights.is_full or request.rights.allows(RIGHT_OF[type(operation)], queue))
        )

    async def check(self, request: Request, operation: Operation[Any]) -> None:
        """Let an operation pass, or refuse it. Reads the policies that are not known.

        Args:
            request: who asks, and how.
            operation: what they ask for.

        Raises:
            AccessDenied: they may not.
            PenstockError: a policy cannot be read.
        """
        if not is_allowed(request.rights, operation):
            raise _beyond_rights(request, operation)
        since = self._now()
        for name, action in demands_of(operation, request.action):
            queue = queue_of(name)  # a partition is what its queue is
            owns = self._policies.owner_of(queue) == request.account
            if owns and (action == OWN or is_about_policy(operation)):
                continue
            if not owns and action not in SHAREABLE:
                raise self._refusal(request, operation, queue, action)
            known = self._kept.get(queue)
            while known is None or known.until <= since:
                await self._policies.read(queue)
                known = self._kept.get(queue)
            if known.policy is None:
                said = Verdict.SILENT
            else:
                said = verdict(known.policy, self._caller(request), action, known.arn)
            if said is Verdict.DENIED or (said is Verdict.SILENT and not owns):
                raise self._refusal(request, operation, queue, action, is_explicit=said is Verdict.DENIED)

    def check_page(self, request: Request) -> None:
        """Let somebody see a page that tells of all queues.

        Raises:
            AccessDenied: they may not.
        """
        if not request.rights.allows(Right.DESCRIBE, ""):
            raise AccessDenied(
                f"{request.user} may not see this: it needs the right to describe all queues.",
                hint="Use a key that is allowed view.",
            )

    def seen(self, request: Request, operation: Operation[Any], reply: Any) -> Any:
        """Return a reply as far as its caller may see it."""
        return seen(request.rights, operation, request.action, reply)

    def performed(self, operation: Operation[Any]) -> None:
        """Take note that an operation was performed: it may have changed a policy."""
        if type(operation) in _CHANGES_POLICY:
            self._policies.forget(operation.queue)  # type: ignore[attr-defined]

    def _caller(self, request: Request) -> Caller:
        return Caller(request.account, request.user, request.source_ip, request.is_secure, self._now_ms())

    def _refusal(
        self, request: Request, operation: Operation[Any], queue: str, action: str, *, is_explicit: bool = False
    ) -> AccessDenied:
        """IAM user guide, "Troubleshoot access denied error messages"."""
        owner = self._policies.owner_of(queue)
        if not queue:
            return AccessDenied(
                f"Account {request.account} may not perform {type(operation).__name__}: it reaches into all accounts.",
                hint="Use a key of the server's own account.",
            )
        name = f"sqs:{action or type(operation).__name__}".lower()
        reason = (
            "with an explicit deny in a resource-based policy"
            if is_explicit
            else f"because no resource-based policy allows the {name} action"
        )
        return AccessDenied(
            f"User: arn:{partition_of(request.region)}:iam::{request.account}:user/{request.user} is not authorized "
            f"to perform: {name} on resource: {self._policies.arn_of(queue)} {reason}",
            hint=f"Change the queue's policy with a key of account {owner}.",
            field="queue",
        )


def _beyond_rights(request: Request, operation: Operation[Any]) -> AccessDenied:
    lacking = [(queue, right) for queue, right in needs_of(operation) if not request.rights.allows(right, queue)]
    queue, right = min(lacking)
    where = f"queue {queue}" if queue else "all queues"
    verb = "administer" if right is Right.ADMIN else right
    return AccessDenied(
        f"{request.user} may not perform {type(operation).__name__}: it needs the right to {verb} {where}.",
        hint="Somebody who may administer this server can grant it: `penstock key create --allow`.",
        field="queue",
    )
