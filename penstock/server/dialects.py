"""The dialects this server speaks, and which of them a request is in."""

import re
from collections.abc import Sequence

from penstock.core.operations import CreateQueue, UpdateQueue
from penstock.core.queues import QueueChanges
from penstock.server.desk import MOUNT as DESK
from penstock.server.mounts import Mount
from penstock.server.options import ServerOptions
from penstock.server.welcome import Welcome
from penstock.wire.aweq import Aweq
from penstock.wire.http import Dialect, Request
from penstock.wire.rest import Rest
from penstock.wire.sqs import SqsJson, SqsOptions, SqsPeek, SqsQuery
from penstock.wire.wq import Wq

AWEQ_QUEUE = "aweq"
WQ_QUEUE = "wq"
DEFAULT_CHECKOUT_SECONDS = 120
DEFAULT_LOCK_SECONDS = 1

_QUEUE_URL_PATH = re.compile(r"/(?:queue/[a-z0-9-]+/)?\d{12}/[^/]+/?")
_ACTION_IN_QUERY = re.compile(rb"(?:^|&)Action=")
_ACTION_IN_FORM = re.compile(rb"(?:[\w.%+-]+=[^&]*&)*?Action=")


class Dialects:
    """All dialects of one server.

    Args:
        options: who answers at the root, and what the dialects need to know.
        desk: answers what is asked about keys.
        mounts: others' dialects, and where browsers are sent.
    """

    def __init__(self, options: ServerOptions, desk: Dialect, mounts: Sequence[Mount] = ()) -> None:
        sqs = SqsOptions(
            limits=options.limits,
            public_url=options.public_url,
            default_account=options.account,
            default_region=options.region,
        )
        self.sqs_json: Dialect = SqsJson(sqs)
        self.sqs_query: Dialect = SqsQuery(sqs)
        self.sqs_peek: Dialect = SqsPeek(sqs)
        self.rest: Dialect = Rest("/v1")
        checkout_seconds = {"checkout_lifetime_seconds": options.aweq_checkout_seconds or DEFAULT_CHECKOUT_SECONDS}
        lock_seconds = {"lock_seconds": options.wq_lock_seconds or DEFAULT_LOCK_SECONDS}
        self.aweq: Dialect = Aweq("/aweq", AWEQ_QUEUE, **checkout_seconds)
        self.wq: Dialect = Wq("/wq", WQ_QUEUE, **lock_seconds)
        home = next((mount.home for mount in mounts if mount.home is not None), None)
        self._welcome = Welcome(self.sqs_query, home)
        self._mounts: dict[str, Dialect] = {"v1": self.rest, "aweq": self.aweq, "wq": self.wq, "_aws": self.sqs_peek}
        self._mounts[DESK] = desk
        self._mounts |= {mount.name: mount.dialect for mount in mounts}
        self._named_lifetimes = {AWEQ_QUEUE: options.aweq_checkout_seconds, WQ_QUEUE: options.wq_lock_seconds}
        self._root_is_wq = options.root_dialect == "wq"
        self._root: Dialect | None = None
        if options.root_dialect == "aweq":
            self._root = Aweq("", AWEQ_QUEUE, **checkout_seconds)
        elif options.root_dialect == "wq":
            self._root = Wq("", WQ_QUEUE, **lock_seconds)

    def of(self, request: Request) -> Dialect:
        """Return the dialect a request is in."""
        if b"x-amz-target" in request.headers:
            return self.sqs_json
        path = request.path
        if path != "/":
            mounted = self._mounts.get(path[1:].partition("/")[0])
            if mounted is not None:
                return mounted
        if self._root is None:
            return self._welcome if _is_browser_at_root(request) else self.sqs_query
        if _asks_for_action(request) or _QUEUE_URL_PATH.fullmatch(path):
            return self.sqs_query
        return self._welcome if not self._root_is_wq and _is_browser_at_root(request) else self._root

    def home_queue(self, dialect: Dialect) -> CreateQueue | None:
        """Return how to create the one queue of a dialect that has no word for queues, or ``None``."""
        settings = getattr(dialect, "queue_settings", None)
        return None if settings is None else settings()

    def home_queue_updates(self) -> tuple[UpdateQueue, ...]:
        """Return what brings queues of dialects that exist to the lifetimes that were configured."""
        return tuple(
            UpdateQueue(queue, QueueChanges(visibility_timeout_seconds=seconds))
            for queue, seconds in self._named_lifetimes.items()
            if seconds is not None
        )

    def is_open_to_pages(self, dialect: Dialect) -> bool:
        """Return whether pages of any site may call a dialect from a browser, as AweQ lets them."""
        return isinstance(dialect, Aweq)

    def home_queue_at_root(self) -> CreateQueue | None:
        """Return the same for the dialect at the root."""
        return None if self._root is None else self.home_queue(self._root)


def _asks_for_action(request: Request) -> bool:
    if _ACTION_IN_QUERY.search(request.query):
        return True
    is_form = request.headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded")
    return is_form and _ACTION_IN_FORM.match(request.body) is not None


def _is_browser_at_root(request: Request) -> bool:
    return (
        request.path == "/"
        and request.method in ("GET", "HEAD")
        and b"text/html" in request.headers.get(b"accept", b"")
        and not _ACTION_IN_QUERY.search(request.query)
    )
