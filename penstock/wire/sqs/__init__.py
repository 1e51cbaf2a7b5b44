"""Amazon SQS: the AWS JSON and Query protocols over the same actions, and the peek endpoint beside them."""

from penstock.wire.sqs.json_protocol import SqsJson
from penstock.wire.sqs.limits import SqsOptions
from penstock.wire.sqs.peek import SqsPeek
from penstock.wire.sqs.query_protocol import SqsQuery

__all__ = ["SqsJson", "SqsOptions", "SqsPeek", "SqsQuery"]
