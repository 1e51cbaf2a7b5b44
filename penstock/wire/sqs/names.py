"""How queues are called: by URL, by ARN and by name at this edge, by one name inside.

A queue of the default account and region has its plain name inside, any other is ``region/account/name``.
"""

import re

from msgspec import Struct

from penstock.core.partitions import queue_of
from penstock.core.queues import QUEUE_NAME
from penstock.wire.sqs.errors import SqsError, no_such_queue
from penstock.wire.sqs.limits import SqsOptions

FIFO_SUFFIX = ".fifo"
_STANDARD_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_NAME = re.compile(r"(?=.{1,80}\Z)[A-Za-z0-9_-]+\.fifo")
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_ARN = re.compile(r"arn:(aws[a-z-]*):sqs:([a-z0-9-]{1,40}):([0-9]{12}):([A-Za-z0-9_.-]{1,80})")
_MOST_CACHED, _LONGEST_CACHED = 4096, 256


class Address(Struct, frozen=True, gc=False):
    """Where a queue is: ``queue`` is what the core calls it; a FIFO queue is known by its name."""

    queue: str
    name: str
    account: str
    region: str
    is_fifo: bool

    @property
    def arn(self) -> str:
        """The Amazon resource name."""
        return f"arn:{partition_of(self.region)}:sqs:{self.region}:{self.account}:{self.name}"

    @property
    def path(self) -> str:
        """The path of the queue URL."""
        return f"/{self.account}/{self.name}"


class AddressBook:
    """Turns every way to name a queue into its address. Remembers the URLs seen last, a bounded number."""

    def __init__(self, options: SqsOptions) -> None:
        self._options = options
        self._seen: dict[tuple[str, str, str], Address] = {}

    def of_url(self, url: str, account: str, region: str) -> Address | None:
        """Return the queue that a URL with any host, a path or a bare name means for a caller; ``None`` for no queue.

        Raises:
            SqsError: QueueDoesNotExist for an impossible name.
        """
        found = self._seen.get((url, account, region))
        if found is None:
            found = self._parse(url, account, region)
            if found is None:
                return None
            if len(self._seen) >= _MOST_CACHED:
                self._seen.clear()
            if len(url) <= _LONGEST_CACHED:
                self._seen[url, account, region] = found
        return found

    def of_name(self, name: str, account: str, region: str) -> Address:
        """Return the address of the queue so named."""
        if account == self._options.default_account and region == self._options.default_region:
            queue = name
        else:
            queue = f"{region}/{account}/{name}"
        return Address(queue, name, account, region, queue_of(name).endswith(FIFO_SUFFIX))

    def of_arn(self, arn: str) -> Address | None:
        """Return the queue an ARN means; ``None`` where it is no ARN of a queue."""
        match = _ARN.fullmatch(arn)
        return None if match is None else self.of_name(match[4], match[3], match[2])

    def of_queue(self, queue: str) -> Address:
        """Return the address of what the core calls ``queue``."""
        region, account, name = (
            queue.split("/") if "/" in queue else (self._default_region, self._default_account, queue)
        )
        return Address(queue, name, account, region, name.endswith(FIFO_SUFFIX))

    def prefix(self, account: str, region: str) -> str:
        """Return what the core's names of an account's queues begin with."""
        return self.of_name("", account, region).queue

    @property
    def _default_account(self) -> str:
        return self._options.default_account

    @property
    def _default_region(self) -> str:
        return self._options.default_region

    def _parse(self, url: str, account: str, region: str) -> Address | None:
        has_host = "://" in url
        path = url.split("://", 1)[1].partition("/")[2] if has_host else url
        steps = [step for step in path.partition("?")[0].split("/") if step]
        if not steps or (has_host and len(steps) < 2) or len(url) > 2048:
            return None
        name = steps[-1]
        if len(steps) > 1 and _ACCOUNT.fullmatch(steps[-2]):
            account = steps[-2]
            if len(steps) > 3 and steps[-4] == "queue" and _REGION.fullmatch(steps[-3]):
                region = steps[-3]
        found = self.of_name(name, account, region)
        if not QUEUE_NAME.fullmatch(queue_of(found.queue)):
            raise no_such_queue()
        return found


def partition_of(region: str) -> str:
    """Return the partition of AWS's regions that a region belongs to."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def check_name(name: str, *, is_fifo: bool) -> None:
    """Refuse a name for a new queue (API reference, ``CreateQueue``, ``QueueName``)."""
    if is_fifo and not _FIFO_NAME.fullmatch(name):
        raise SqsError(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length"
        )
    if not is_fifo and not _STANDARD_NAME.fullmatch(name):
        raise SqsError("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
