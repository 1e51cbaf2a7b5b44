"""Session tasks: one worker is given the events of one key, live and in order, until the function has seen enough.

    @app.session(queue="events", idle_seconds=2)
    async def analyse(key: str, events: Events[Event]) -> None:
        async for event in events:
            if event.kind == "stop":
                return

It returns: the events it was given are deleted, all in one step. It raises: they stay, and come again as the retry
policy says. No event comes for a while: they stay too. A worker that dies leaves them as they are.
"""

import inspect
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from penstock.broker.contract import Broker
from penstock.core.effects import Record
from penstock.core.messages import Draft
from penstock.core.operations import GetRecords
from penstock.worker.arguments import Arguments, TaskInvalid, WrongArguments, encode_result
from penstock.worker.envelope import Envelope, seal
from penstock.worker.records import NOTHING, Failure
from penstock.worker.runtime import Runtime
from penstock.worker.sending import Request
from penstock.worker.tasks import Task, TaskOptions

E = TypeVar("E")

SESSION_PREFIX = "session/"
MOST_EVENTS = 500
"""Events of one session, unless its task says otherwise; one settlement ends them all."""

OnIdle = Literal["park", "retry"]


class SessionIdle(Exception):
    """No event came for so long. Raised where the next event is awaited; who catches it may return all the same."""


class SessionTooLong(Exception):
    """The session has had as many events as it may, and wants more."""


class SessionInterrupted(Exception):
    """The worker stops, or the events are no longer its own. The session begins anew elsewhere."""


class SessionRecord(Struct, frozen=True, omit_defaults=True):
    """How the last session of a key went, kept under ``session/<task>/<key>``.

    Attributes:
        status: ``done``: it returned. ``pending``: it waited for an event in vain, its key is parked until resumed.
            ``retrying``: it comes again. ``failed``: for good.
        event_count: how many events it was given.
        at: when that was (ms since the epoch).
        result: what it returned, as JSON.
        failure: why it did not.
    """

    status: Literal["done", "pending", "retrying", "failed"]
    event_count: int
    at: int
    result: Raw = NOTHING
    failure: Failure | None = None


class Events(Generic[E]):
    """The events of a session, as its function iterates over them.

    Args:
        more: returns events that came, as JSON, or raises what ends the session; awaits the next one.
        decode: makes an event of JSON.
    """

    def __init__(self, more: Callable[[], Awaitable[Raw]], decode: Callable[[Raw], E]) -> None:
        self._more = more
        self._decode = decode

    def __aiter__(self) -> AsyncIterator[E]:
        return self

    async def __anext__(self) -> E:
        """Return the next event. Raises SessionIdle, SessionTooLong, SessionInterrupted, WrongArguments."""
        return self._decode(await self._more())


class SessionArguments(Arguments):
    """What the function of a session is called with: a key and a stream of events."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        super().__init__(function, name)
        self._kind: msgspec.json.Decoder[Any] | None = None
        if len(inspect.signature(function).parameters) != 2 or not inspect.iscoroutinefunction(function):
            raise TaskInvalid(
                f"{name} is no session.", hint="It is async def name(key: str, events: Events[YourEvent])."
            )

    def encode_event(self, event: Any) -> Raw:
        """Return an event as JSON. Raises WrongArguments: it is of another type, or JSON cannot carry it."""
        try:
            encoded = encode_result(event)
        except (TypeError, ValueError, OverflowError) as error:
            raise WrongArguments(f"Event of {self._name}: {error}", field="event") from None
        self.decode_event(encoded)
        return encoded

    def decode_event(self, encoded: Raw | bytes) -> Any:
        """Return an event. Raises WrongArguments: it is of another type."""
        try:
            return self._event.decode(encoded)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise WrongArguments(f"Event of {self._name}: {error}", field="event") from None

    def decode(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (given["key"], Events(given["more"], self.decode_event)), {}

    @property
    def _event(self) -> "msgspec.json.Decoder[Any]":
        if self._kind is None:
            self._kind = self.decoders["events"]
        return self._kind

    def _made(self) -> dict[str, "msgspec.json.Decoder[Any]"]:
        hints = typing.get_type_hints(self._function, include_extras=True)
        annotated = hints.get(list(self._signature.parameters)[1], Any)
        (kind,) = typing.get_args(annotated) or (Any,)
        self._result = msgspec.json.Decoder(Any)
        return {"events": self._decoder(kind, "event")}


class SessionTask(Task[..., Any], Generic[E]):
    """A session task; made by ``app.session(...)``.

    Attributes:
        idle_seconds: how long it waits for the next event.
        on_idle: what then becomes of its events: ``park``: they stay, and so does all that comes for the key, until
            that is resumed; ``retry``: they come again as the retry policy says.
        most_events: so many events at most. A session that wants more fails.
    """

    arguments: SessionArguments

    def __init__(
        self,
        app: Runtime,
        name: str,
        function: Callable[..., Any],
        options: TaskOptions,
        *,
        idle_seconds: float,
        on_idle: OnIdle,
        most_events: int,
    ) -> None:
        super().__init__(app, name, function, options, is_async=True)
        self.arguments = SessionArguments(function, name)
        self.idle_seconds = idle_seconds
        self.on_idle = on_idle
        self.most_events = most_events

    def send(self, key: str, event: E) -> None:  # type: ignore[override]
        """Send an event to the session of a key. Raises WrongArguments: it is of another type."""
        self.send_many([(key, event)])

    async def asend(self, key: str, event: E) -> None:  # type: ignore[override]
        """The same in async code."""
        await self.asend_many([(key, event)])

    def send_many(self, events: Iterable[tuple[str, E]]) -> None:  # type: ignore[override]
        """Send many events, each with its key, in this order."""
        requests = self._requests(events)
        self.app.send_requests(requests)

    async def asend_many(self, events: Iterable[tuple[str, E]]) -> None:  # type: ignore[override]
        """The same in async code."""
        requests = self._requests(events)
        await self.app.asend_requests(requests)

    def last(self, key: str) -> SessionRecord | None:
        """Return how the last session of a key went, as long as that is known."""
        return self.app.portal.run(lambda broker: self._last(broker, key))

    async def alast(self, key: str) -> SessionRecord | None:
        """The same in async code."""
        return await self.app.portal.arun(lambda broker: self._last(broker, key))

    async def _last(self, broker: Broker, key: str) -> SessionRecord | None:
        record = (await broker.perform(GetRecords((session_key(self.name, key),)))).records[0]
        return None if record is None else _decode(record.value)

    def _requests(self, events: Iterable[tuple[str, E]]) -> list[Request]:
        requests = []
        for key, event in events:
            envelope = Envelope(self.name, {"event": self.arguments.encode_event(event)})
            body = seal(self.app.stamp(envelope))
            queue = self.options.queue
            draft = Draft(body, group_id=key, priority=self.options.priority, message_id=self.app.new_id(queue, key))
            requests.append(Request(queue, draft))
        return requests


def session_key(task: str, key: str) -> str:
    """Return the key of the record of a key's last session."""
    return f"{SESSION_PREFIX}{task}/{key}"[:1000]


def to_session(task: str, key: str, record: SessionRecord, expires_at: int | None) -> Record:
    """Return what the store keeps."""
    return Record(session_key(task, key), _encode(record), {"task": task, "status": record.status}, expires_at)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SessionRecord).decode
