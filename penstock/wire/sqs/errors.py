"""SQS's errors, and the one table from Penstock's error codes to them.

Codes and statuses: botocore's models of both protocols; SQS API reference, "Common errors"; words as recorded of AWS.
"""

from collections.abc import Callable

from msgspec import Struct

from penstock.core.errors import Fault, PenstockError, Problem

MODELLED = "com.amazonaws.sqs#"
UNMODELLED = "com.amazon.coral.service#"


class ErrorKind(Struct, frozen=True):
    """One error of the API.

    Attributes:
        code: what the Query protocol, batch entries and ``x-amzn-query-error`` say.
        shape: what ``__type`` says in JSON.
        status: HTTP status.
        query_message: what the Query protocol says instead of the message, where it differs.
    """

    code: str
    shape: str
    status: int = 400
    query_message: str | None = None

    @property
    def fault(self) -> str:
        """``Sender`` or ``Receiver``."""
        return "Receiver" if self.status >= 500 else "Sender"


def _modelled(shape: str, *, code: str | None = None, status: int = 400, query_message: str | None = None) -> ErrorKind:
    return ErrorKind(code or shape, MODELLED + shape, status, query_message)


def _common(code: str, shape: str, status: int = 400) -> ErrorKind:
    return ErrorKind(code, UNMODELLED + shape, status)


_PREFIX = "AWS.SimpleQueueService."

INVALID_PARAMETER_VALUE = _common("InvalidParameterValue", "InvalidParameterValueException")
MISSING_PARAMETER = _common("MissingParameter", "MissingRequiredParameterException")
INVALID_ACTION = _common("InvalidAction", "InvalidAction")
UNKNOWN_OPERATION = _common("UnknownOperationException", "UnknownOperationException", 404)
SERIALIZATION = _common("SerializationException", "SerializationException")
MALFORMED_QUERY = _common("MalformedQueryString", "MalformedQueryString")
ACCESS_DENIED = _common("AccessDenied", "AccessDeniedException", 403)
MISSING_TOKEN = _common("MissingAuthenticationToken", "MissingAuthenticationTokenException", 403)
INVALID_CLIENT_TOKEN = _common("InvalidClientTokenId", "UnrecognizedClientException", 403)
SIGNATURE_MISMATCH = _common("SignatureDoesNotMatch", "InvalidSignatureException", 403)
INCOMPLETE_SIGNATURE = _common("IncompleteSignature", "IncompleteSignatureException", 400)
REQUEST_EXPIRED = _common("RequestExpired", "RequestExpired", 400)
THROTTLED = _common("Throttling", "ThrottlingException", 400)
TOO_LARGE = _common("RequestEntityTooLarge", "RequestEntityTooLargeException", 413)
INTERNAL_FAILURE = _common("InternalFailure", "InternalFailure", 500)
SERVICE_UNAVAILABLE = _common("ServiceUnavailable", "ServiceUnavailable", 503)

QUEUE_DOES_NOT_EXIST = _modelled(
    "QueueDoesNotExist",
    code=_PREFIX + "NonExistentQueue",
    query_message="The specified queue does not exist for this wsdl version.",
)
QUEUE_NAME_EXISTS = _modelled("QueueNameExists", code="QueueAlreadyExists")
QUEUE_DELETED_RECENTLY = _modelled("QueueDeletedRecently", code=_PREFIX + "QueueDeletedRecently")
PURGE_IN_PROGRESS = _modelled("PurgeQueueInProgress", code=_PREFIX + "PurgeQueueInProgress", status=403)
TOO_MANY_ENTRIES = _modelled("TooManyEntriesInBatchRequest", code=_PREFIX + "TooManyEntriesInBatchRequest")
EMPTY_BATCH = _modelled("EmptyBatchRequest", code=_PREFIX + "EmptyBatchRequest")
INVALID_BATCH_ID = _modelled("InvalidBatchEntryId", code=_PREFIX + "InvalidBatchEntryId")
BATCH_IDS_NOT_DISTINCT = _modelled("BatchEntryIdsNotDistinct", code=_PREFIX + "BatchEntryIdsNotDistinct")
BATCH_TOO_LONG = _modelled("BatchRequestTooLong", code=_PREFIX + "BatchRequestTooLong")
INVALID_ATTRIBUTE_NAME = _modelled("InvalidAttributeName")
INVALID_ATTRIBUTE_VALUE = _modelled("InvalidAttributeValue")
INVALID_MESSAGE_CONTENTS = _modelled("InvalidMessageContents")
INVALID_RECEIPT_HANDLE = _modelled("ReceiptHandleIsInvalid")
INVALID_ADDRESS = _modelled("InvalidAddress", status=404)
OVER_LIMIT = _modelled("OverLimit", status=403)
RESOURCE_NOT_FOUND = _modelled("ResourceNotFoundException", status=404)
UNSUPPORTED_OPERATION = _modelled("UnsupportedOperation", code=_PREFIX + "UnsupportedOperation")

NO_SUCH_QUEUE = "The specified queue does not exist."
NO_DEDUPLICATION_ID = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
)


class SqsError(PenstockError):
    """An error that only SQS has words for, raised by this edge."""

    code = "sqs_error"
    fault: Fault = "caller"  # type: ignore[misc]

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind = INVALID_PARAMETER_VALUE,
        hint: str | None = None,
        field: str | None = None,
        entry_message: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, field=field)
        self.kind = kind
        self.entry_message = entry_message or message
        """What the answer to a batch says of an entry."""


def missing(parameter: str) -> SqsError:
    """The error of leaving out a required parameter."""
    return SqsError(f"The request must contain the parameter {parameter}.", kind=MISSING_PARAMETER)


def invalid(parameter: str, value: object, reason: str) -> SqsError:
    """The error of a parameter that is out of range or malformed."""
    return SqsError(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def wrong_queue_type(parameter: str, value: object) -> SqsError:
    """The error of a parameter that standard queues or FIFO queues do not have."""
    reason = "The request include parameter that is not valid for this queue type"
    return SqsError(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}.", entry_message=reason)


def no_such_queue() -> SqsError:
    """The error of naming a queue that is not there."""
    return SqsError(NO_SUCH_QUEUE, kind=QUEUE_DOES_NOT_EXIST)


def invalid_address(address: str) -> SqsError:
    """The error of asking for a queue where there is none, in the Query protocol."""
    return SqsError(f"The address {address} is not valid for this endpoint.", kind=INVALID_ADDRESS)


def too_large(limit: int, *, is_entry: bool) -> SqsError:
    """The error of a message over its queue's limit in bytes; the words differ for entries of a batch."""
    verdict = "cannot be validated" if is_entry else "are invalid"
    return SqsError(f"One or more parameters {verdict}. Reason: Message must be shorter than {limit} bytes.")


def handle_is_invalid(receipt_handle: str) -> SqsError:
    """The error of a text that is no receipt handle of the queue."""
    return SqsError(
        f'The input receipt handle "{receipt_handle}" is not a valid receipt handle.', kind=INVALID_RECEIPT_HANDLE
    )


_CREDENTIALS = {
    "authorization": MISSING_TOKEN,
    "access_key": INVALID_CLIENT_TOKEN,
    "signature": SIGNATURE_MISMATCH,
    "signature_form": INCOMPLETE_SIGNATURE,
    "date": REQUEST_EXPIRED,
}
"""Kinds of ``NotAuthenticated`` by the field it names."""

_KINDS = {
    "invalid_request": INVALID_PARAMETER_VALUE,
    "queue_not_found": QUEUE_DOES_NOT_EXIST,
    "queue_conflict": QUEUE_NAME_EXISTS,
    "queue_deleted_recently": QUEUE_DELETED_RECENTLY,
    "purge_in_progress": PURGE_IN_PROGRESS,
    "message_too_large": INVALID_PARAMETER_VALUE,
    "group_required": MISSING_PARAMETER,
    "deduplication_id_required": INVALID_PARAMETER_VALUE,
    "receipt_handle_invalid": INVALID_RECEIPT_HANDLE,
    "lease_too_long": INVALID_PARAMETER_VALUE,
    "move_not_found": RESOURCE_NOT_FOUND,
    "move_conflict": INVALID_PARAMETER_VALUE,
    "not_authenticated": INVALID_CLIENT_TOKEN,
    "access_denied": ACCESS_DENIED,
    "too_many_failures": THROTTLED,
    "store_unavailable": SERVICE_UNAVAILABLE,
    "store_damaged": SERVICE_UNAVAILABLE,
    "store_too_new": SERVICE_UNAVAILABLE,
}

_WORDS = {
    "message_too_large": "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
    "queue_not_found": NO_SUCH_QUEUE,
    "queue_deleted_recently": (
        "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    ),
    "group_required": "The request must contain the parameter MessageGroupId.",
    "deduplication_id_required": NO_DEDUPLICATION_ID,
    "move_not_found": "Task does not exist.",
    "move_conflict": (
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
    ),
}


def translated(error: PenstockError, queue_of_request: Callable[[], str]) -> SqsError:
    """Return any Penstock error in SQS's words; the queue is asked for only where they mention it."""
    if isinstance(error, SqsError):
        return error
    return of_problem(error.problem, queue_of_request() if error.code == "purge_in_progress" else "")


def of_problem(problem: Problem, queue: str) -> SqsError:
    """Return a problem in SQS's words."""
    kind = _KINDS.get(problem.code)
    if kind is None:
        return SqsError("The request processing has failed because of an unknown error.", kind=INTERNAL_FAILURE)
    if problem.code == "not_authenticated":
        kind = _CREDENTIALS.get(problem.field or "", kind)
    message = _WORDS.get(problem.code, problem.message)
    if problem.code == "purge_in_progress":
        message = f"Only one PurgeQueue operation on {queue} is allowed every 60 seconds."
    elif problem.code == "queue_conflict":
        message = "A queue already exists with the same name and a different value for attribute " + str(problem.field)
    return SqsError(message, kind=kind)
