"""What an action knows of the request it serves, whichever protocol it came in, and how it answers."""

import re

from msgspec import Struct

from penstock.wire.http import Request, Response
from penstock.wire.sqs.errors import SqsError, missing, no_such_queue
from penstock.wire.sqs.limits import Limits, SqsOptions, limits_of
from penstock.wire.sqs.model import Shape
from penstock.wire.sqs.names import Address, AddressBook

_QUEUE_PATH = re.compile(r"/[0-9]{12}/[^/]+/?\Z")


class Edge:
    """What one dialect keeps between requests."""

    def __init__(self, options: SqsOptions) -> None:
        self.options = options
        self.limits: Limits = limits_of(options)
        self.addresses = AddressBook(options)
        self._public_url = None if options.public_url is None else options.public_url.rstrip("/")

    def base_url(self, request: Request) -> str:
        """Return what queue URLs begin with: the fixed public URL, else how the caller addressed this server."""
        if self._public_url is not None:
            return self._public_url
        return f"{request.scheme}://{(request.host or b'localhost').decode('latin-1')}"


class Exchange(Struct, gc=False):
    """One request under way. Each protocol has its own ``answer``."""

    request: Request
    edge: Edge
    action: str

    def answer(self, result: Shape | None = None) -> Response:
        """Return the response that carries a result; ``None`` for actions that have none."""
        raise NotImplementedError

    def queue(self, queue_url: str | None) -> Address:
        """Return the queue a request is about.

        Raises:
            SqsError: no URL, none of a queue, or an impossible name.
        """
        request = self.request
        if queue_url is None:
            queue_url = self.path_queue_url()
            if queue_url is None:
                raise missing("QueueUrl")
        found = self.edge.addresses.of_url(queue_url, request.account, request.region)
        if found is None:
            raise self.no_queue_there()
        return found

    def no_queue_there(self) -> SqsError:
        """Return the error of a queue URL that is none."""
        return no_such_queue()

    def path_queue_url(self) -> str | None:
        """Return the path the request was sent to if it is that of a queue URL."""
        path = self.request.path
        return path if _QUEUE_PATH.search(path) else None

    def queue_url(self, address: Address) -> str:
        """Return the URL of a queue as this caller is to use it."""
        return self.edge.base_url(self.request) + address.path
