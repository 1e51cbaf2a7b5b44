"""The route table of REST: each operation's method and address, and a few shortcuts for people with curl.

Fields named in a path come from it, those in ``query`` from the query, all others from the JSON body.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from penstock.core.errors import error_from
from penstock.core.filters import MessageFilter
from penstock.core.messages import MessageView, State
from penstock.core.operations import (
    Apply,
    Cancel,
    CancelMove,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DeleteRecords,
    DescribeQueue,
    Find,
    FindRecords,
    FindReply,
    GetRecords,
    ListGroups,
    ListMoves,
    ListQueues,
    MessagesReply,
    Operation,
    Peek,
    PurgeQueue,
    PutRecords,
    ReadEvents,
    ReadHistory,
    Receive,
    ReleaseLeases,
    Reschedule,
    Send,
    Settle,
    SettleReply,
    StartMove,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.refusals import lease_lost
from penstock.core.settlements import ChangeVisibility, Settled, Settlement, SettleOutcome
from penstock.wire.rest.problems import NotFound


class Shortcut(Struct, frozen=True):
    """How what was asked in a shorter form becomes an operation, and its reply an answer.

    Attributes:
        as_operation: from what was asked to the operation.
        answer: from the operation's reply to the answer; may raise a PenstockError.
        answers: the type of the answer.
    """

    as_operation: Callable[[Any], Operation[Any]]
    answer: Callable[[Any], Any]
    answers: type


class Route(Struct, frozen=True):
    """One line of the table.

    Attributes:
        asked: the operation, or for a shortcut the type with its inputs.
        method: HTTP method.
        path: below the mount point; ``{queue}`` is the field of that name.
        query: fields that are query parameters.
        shortcut: set where ``asked`` is no operation.
    """

    asked: type[Any]
    method: str
    path: str
    query: tuple[str, ...] = ()
    shortcut: Shortcut | None = None


class PeekByQuery(Struct, frozen=True):
    """Look at messages of a queue in order of arrival, without receiving them; conditions as query parameters.

    ``POST .../peek`` takes the same as JSON.
    """

    queue: str
    state: State | None = None
    text: str | None = None
    json_path: str | None = None
    json_value: str | None = None
    attribute: str | None = None
    attribute_value: str | None = None
    group_id: str | None = None
    min_receive_count: int | None = None
    sent_before: int | None = None
    sent_after: int | None = None
    after: int = 0
    limit: int = 10


class FindMessage(Struct, frozen=True):
    """Look one message up by id, wherever it is."""

    message_id: str


class DeleteDelivery(Struct, frozen=True):
    """Finish with one delivery: its message is deleted. Deleting what is gone already is no error."""

    queue: str
    receipt_handle: str


class ChangeDelivery(Struct, frozen=True):
    """Hold one delivery's lease so much longer from now, or with 0 give it back at once."""

    queue: str
    receipt_handle: str
    visibility_timeout_seconds: float


def _peek(asked: PeekByQuery) -> Peek:
    wanted = MessageFilter(**{name: getattr(asked, name) for name in PeekByQuery.__struct_fields__[1:-2]})
    return Peek(asked.queue, wanted, asked.after, asked.limit)


def _only_message(reply: FindReply) -> MessageView:
    message = reply.messages[0]
    if message is None:
        raise NotFound("There is no such message.", hint="It was deleted or has expired, or never was.")
    return message


def _only_outcome(reply: SettleReply) -> SettleOutcome:
    outcome = reply.outcomes[0]
    if outcome.problem is not None:
        raise error_from(outcome.problem)
    if outcome.result in (Settled.STALE, Settled.EXPIRED):
        raise lease_lost("receipt_handle")
    return outcome


_LIST = ("after", "limit")

ROUTES = (
    Route(CreateQueue, "POST", "/queues"),
    Route(ListQueues, "GET", "/queues", ("prefix", *_LIST, "dead_letter_queue")),
    Route(DescribeQueue, "GET", "/queues/{queue}"),
    Route(UpdateQueue, "PATCH", "/queues/{queue}"),
    Route(DeleteQueue, "DELETE", "/queues/{queue}"),
    Route(PurgeQueue, "POST", "/queues/{queue}/purge"),
    Route(ListGroups, "GET", "/queues/{queue}/groups", (*_LIST, "only_parked")),
    Route(UpdateGroup, "PATCH", "/queues/{queue}/groups/{group_id}"),
    Route(Send, "POST", "/queues/{queue}/messages"),
    Route(
        PeekByQuery,
        "GET",
        "/queues/{queue}/messages",
        PeekByQuery.__struct_fields__[1:],
        Shortcut(_peek, lambda reply: reply, MessagesReply),
    ),
    Route(Peek, "POST", "/queues/{queue}/peek"),
    Route(Receive, "POST", "/queues/{queue}/receive"),
    Route(
        DeleteDelivery,
        "DELETE",
        "/queues/{queue}/deliveries/{receipt_handle}",
        (),
        Shortcut(lambda asked: Settle((Settlement(asked.queue, asked.receipt_handle),)), _only_outcome, SettleOutcome),
    ),
    Route(
        ChangeDelivery,
        "PATCH",
        "/queues/{queue}/deliveries/{receipt_handle}",
        (),
        Shortcut(
            lambda asked: Settle(
                (Settlement(asked.queue, asked.receipt_handle, ChangeVisibility(asked.visibility_timeout_seconds)),)
            ),
            _only_outcome,
            SettleOutcome,
        ),
    ),
    Route(Settle, "POST", "/settle"),
    Route(ReleaseLeases, "POST", "/leases/release"),
    Route(Apply, "POST", "/apply"),
    Route(
        FindMessage,
        "GET",
        "/messages/{message_id}",
        (),
        Shortcut(lambda asked: Find((asked.message_id,)), _only_message, MessageView),
    ),
    Route(ReadHistory, "GET", "/messages/{message_id}/history"),
    Route(Find, "POST", "/messages/find"),
    Route(Cancel, "POST", "/messages/cancel"),
    Route(DeleteMessages, "POST", "/messages/delete"),
    Route(Reschedule, "POST", "/messages/reschedule"),
    Route(StartMove, "POST", "/moves"),
    Route(ListMoves, "GET", "/moves", ("source", "limit")),
    Route(CancelMove, "POST", "/moves/{move_id}/cancel"),
    Route(PutRecords, "POST", "/records"),
    Route(FindRecords, "GET", "/records", ("prefix", "tag", *_LIST, "is_descending")),
    Route(GetRecords, "POST", "/records/get"),
    Route(DeleteRecords, "POST", "/records/delete"),
    Route(ReadEvents, "GET", "/events", _LIST),
)


def path_fields(route: Route) -> tuple[str, ...]:
    """Return the fields a route's path carries, in order."""
    return tuple(part[1:-1] for part in route.path.split("/") if part.startswith("{"))


def body_fields(route: Route) -> tuple[str, ...]:
    """Return the fields a route's JSON body carries, in the order of the type."""
    elsewhere = {*path_fields(route), *route.query}
    return tuple(name for name in route.asked.__struct_fields__ if name not in elsewhere)


def reply_type(operation: type[Operation[Any]]) -> type:
    """Return the type of an operation's reply."""
    generic = operation.__orig_bases__[0]  # type: ignore[attr-defined]
    found: type = generic.__args__[0]
    return found
