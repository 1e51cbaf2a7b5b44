"""What several shards answer, as one answer."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from penstock.core.errors import StoreUnavailable
from penstock.core.events import Event, EventKind
from penstock.core.messages import MessageView
from penstock.core.operations import IdOutcome

T = TypeVar("T")

_RANK = {IdOutcome.GONE: 0, IdOutcome.IN_FLIGHT: 1, IdOutcome.DONE: 2}
_LEAVING = frozenset({EventKind.DEAD_LETTERED, EventKind.MOVED})


def whole(answers: Iterable[T | StoreUnavailable]) -> list[T]:
    """Return answers if all are there. Raises the first that is an error."""
    found = []
    for answer in answers:
        if isinstance(answer, StoreUnavailable):
            raise answer
        found.append(answer)
    return found


def there(answers: Iterable[T | StoreUnavailable]) -> list[T]:
    """Return the answers that are there. Raises if none is."""
    answers = list(answers)
    found = [answer for answer in answers if not isinstance(answer, StoreUnavailable)]
    return found or whole(answers)


def in_order(
    pages: Iterable[Sequence[T]], key: Callable[[T], Any], limit: int, *, is_descending: bool = False
) -> list[T]:
    """Return the first of several ordered pages."""
    found = [each for page in pages for each in page]
    return sorted(found, key=key, reverse=is_descending)[:limit]


def outcomes_by_id(pages: Sequence[Sequence[IdOutcome]]) -> tuple[IdOutcome, ...]:
    """Return for each message id what became of it: elsewhere than where it is, it is gone."""
    return tuple(max(each, key=_RANK.__getitem__) for each in zip(*pages, strict=True))


def view_of(views: Iterable[MessageView | None]) -> MessageView | None:
    """Return a message as the first shard shows it that has it."""
    return next((view for view in views if view is not None), None)


def one_history(histories: Iterable[Sequence[Event]]) -> list[Event]:
    """Return the events of one message in their order: by instant, and within one along its way through the queues."""
    left = [list(events) for events in histories if events]
    found: list[Event] = []
    while left:
        soonest = min(events[0].at for events in left)
        now = [events for events in left if events[0].at == soonest]
        events = next((each for each in now if _goes_on(found, each[0])), now[0])
        found.append(events.pop(0))
        left = [each for each in left if each]
    return found


def _goes_on(before: Sequence[Event], event: Event) -> bool:
    """Return whether an event may follow at once on those before it."""
    if not before:
        return event.kind is EventKind.SENT and not (event.detail or "").startswith("moved from ")
    last = before[-1]
    return (event.queue == last.queue) is (last.kind not in _LEAVING)
