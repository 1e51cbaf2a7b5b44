"""What a caller may do: with the queues of their own account everything, with those of others nothing.

A queue of the server's own account has a plain name, any other is called ``region/account/name``. What names no queue
but a message id, a record or the feed reaches into all accounts, and so is for the server's own account only; what
names messages by id may name their queue as well, and then it counts.
"""

from collections.abc import Callable, Iterable
from typing import Any

from penstock.core.effects import Effects
from penstock.core.errors import AccessDenied
from penstock.core.operations import (
    Apply,
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DescribeQueue,
    ListGroups,
    ListMoves,
    ListQueues,
    Operation,
    Peek,
    PurgeQueue,
    Receive,
    Reschedule,
    Send,
    Settle,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)


def _queues_of_effects(effects: Effects) -> set[str]:
    return {each.queue for each in effects.sends} | {each.follow_up.queue for each in effects.joins}


def _queues_of_settle(operation: Settle) -> set[str]:
    queues = {each.queue for each in operation.settlements}
    for each in operation.settlements:
        queues |= _queues_of_effects(each.effects)
    return queues


def _queues_of_move(operation: StartMove) -> set[str]:
    return {operation.source} if operation.target is None else {operation.source, operation.target}


_NAMED_ONE = frozenset(
    {
        CreateQueue,
        DeleteQueue,
        DescribeQueue,
        ListGroups,
        Peek,
        PurgeQueue,
        Receive,
        Send,
        UpdateGroup,
        UpdateQueue,
    }
)
_NAMED_PERHAPS = frozenset({Cancel, DeleteMessages, Reschedule})
_NAMED: dict[type, Callable[[Any], Iterable[str]]] = {
    Apply: lambda operation: _queues_of_effects(operation.effects),
    CancelMove: lambda operation: (),  # its id is a secret that only who started it knows
    ListMoves: lambda operation: (operation.source,),
    ListQueues: lambda operation: (operation.prefix,),
    Settle: _queues_of_settle,
    StartMove: _queues_of_move,
}


class Access:
    """Knows whose each queue is.

    Args:
        home_account: twelve digits; whose queues have plain names.
    """

    def __init__(self, home_account: str) -> None:
        self._home_account = home_account

    def check(self, account: str, operation: Operation[Any]) -> None:
        """Let an operation pass, or raise AccessDenied.

        Args:
            account: of the caller, twelve digits.
            operation: what they ask for.
        """
        kind = type(operation)
        if kind in _NAMED_ONE or (kind in _NAMED_PERHAPS and operation.queue is not None):  # type: ignore[attr-defined]
            self._check_queue(account, operation.queue)  # type: ignore[attr-defined]
            return
        named = _NAMED.get(kind)
        if named is not None:
            for queue in named(operation):
                self._check_queue(account, queue)
        elif account != self._home_account:
            raise AccessDenied(
                f"Account {account} may not perform {kind.__name__}: it reaches into all accounts.",
                hint="Use a key of the server's own account.",
            )

    def _check_queue(self, account: str, queue: str) -> None:
        owner = queue.split("/", 2)[1] if queue.count("/") == 2 else self._home_account
        if owner != account:
            raise AccessDenied(
                f"Access to the resource {queue} is denied.", hint=f"Use a key of account {owner}.", field="queue"
            )
