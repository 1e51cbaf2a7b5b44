"""The one vocabulary: everything Penstock can be asked, each operation naming its reply.

A broker has one method, ``perform(operation) -> reply``; a wire dialect translates requests to these and replies back.
Durations are in seconds, instants in milliseconds since the epoch.
"""

from penstock.core.operations.history import (
    EventsReply,
    ReadEvents,
    ReadHistory,
)
from penstock.core.operations.messages import (
    Apply,
    ApplyReply,
    Cancel,
    DeleteMessages,
    Find,
    FindReply,
    IdOutcome,
    IdsReply,
    MessagesReply,
    Peek,
    Receive,
    ReceiveReply,
    Refused,
    ReleaseLeases,
    ReleaseReply,
    Reschedule,
    Send,
    SendOutcome,
    SendReply,
    Sent,
    Settle,
    SettleReply,
)
from penstock.core.operations.moves import (
    CancelMove,
    ListMoves,
    MoveReply,
    MovesReply,
    StartMove,
)
from penstock.core.operations.operation import (
    DONE,
    Done,
    Operation,
)
from penstock.core.operations.queues import (
    CreateQueue,
    DeleteQueue,
    DescribeQueue,
    GroupsReply,
    ListGroups,
    ListQueues,
    PurgeQueue,
    PurgeReply,
    QueueReply,
    QueuesReply,
    UpdateGroup,
    UpdateQueue,
)
from penstock.core.operations.records import (
    DeleteRecords,
    FindRecords,
    GetRecords,
    PutRecords,
    PutRecordsReply,
    RecordPage,
    RecordsReply,
)


def operation_types() -> tuple[type[Operation], ...]:  # type: ignore[type-arg]
    """Return every operation there is, by group, in the order of their files."""
    modules = (__name__ + part for part in (".queues", ".messages", ".moves", ".records", ".history"))
    position = {module: at for at, module in enumerate(modules)}
    return tuple(sorted(Operation.__subclasses__(), key=lambda kind: position[kind.__module__]))


__all__ = [
    "DONE",
    "Apply",
    "ApplyReply",
    "Cancel",
    "CancelMove",
    "CreateQueue",
    "DeleteMessages",
    "DeleteQueue",
    "DeleteRecords",
    "DescribeQueue",
    "Done",
    "EventsReply",
    "Find",
    "FindRecords",
    "FindReply",
    "GetRecords",
    "GroupsReply",
    "IdOutcome",
    "IdsReply",
    "ListGroups",
    "ListMoves",
    "ListQueues",
    "MessagesReply",
    "MoveReply",
    "MovesReply",
    "Operation",
    "Peek",
    "PurgeQueue",
    "PurgeReply",
    "PutRecords",
    "PutRecordsReply",
    "QueueReply",
    "QueuesReply",
    "ReadEvents",
    "ReadHistory",
    "Receive",
    "ReceiveReply",
    "RecordPage",
    "RecordsReply",
    "Refused",
    "ReleaseLeases",
    "ReleaseReply",
    "Reschedule",
    "Send",
    "SendOutcome",
    "SendReply",
    "Sent",
    "Settle",
    "SettleReply",
    "StartMove",
    "UpdateGroup",
    "UpdateQueue",
    "operation_types",
]
