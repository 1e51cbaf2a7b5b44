"""What the scripts answer, as outcomes; the words of a refusal are those of ``core``."""

from collections.abc import Sequence
from typing import Any

from penstock.core.effects import Effects
from penstock.core.errors import PenstockError
from penstock.core.lifecycle import refusal
from penstock.core.message_ids import to_text, to_texts
from penstock.core.messages import Draft
from penstock.core.operations import ApplyReply, Refused, SendOutcome, Sent
from penstock.core.queues import QueueCounts, QueueDescription
from penstock.core.receipts import decode_receipt, decode_receipts
from penstock.core.refusals import guard_failed, lease_lost, lease_too_long, nothing_to_follow, queue_not_found
from penstock.core.settlements import ChangeVisibility, Settled, Settlement, SettleOutcome
from penstock.store.redis.settings import decode_settings

_SETTLED = {each.value.encode(): each for each in Settled}


def sent(answer: Any, draft: Draft) -> SendOutcome:
    """Return the outcome of one send."""
    if isinstance(answer, int):
        assert draft.message_id is not None
        return Sent(draft.message_id, answer)
    if answer[0] == b"refused":
        return Refused(_refusal(answer[1], draft).problem)
    return Sent(to_text(answer[1]), answer[2], is_duplicate=True)


def settled(answer: Any, settlement: Settlement) -> SettleOutcome:
    """Return the outcome of one settlement."""
    if isinstance(answer, bytes):
        return SettleOutcome(Settled.DONE, to_text(answer))
    result, blob = answer[0], answer[1]
    message_id = to_text(blob) if blob else None
    if result in _SETTLED:
        return SettleOutcome(_SETTLED[result], message_id)
    return SettleOutcome(Settled.REFUSED, message_id, _settle_refusal(answer, settlement).problem)


def settled_alike(answer: Any, settlements: Sequence[Settlement]) -> list[SettleOutcome]:
    """Return the outcomes of settlements that were asked as one (``verbs.settle_alike``)."""
    if isinstance(answer, bytes):
        problem = queue_not_found(settlements[0].queue).problem
        return [SettleOutcome(Settled.REFUSED, problem=problem)] * len(settlements)
    ids, others = answer
    outcomes = [SettleOutcome(Settled.DONE, message_id) for message_id in to_texts(ids)]
    for place, why in zip(others[::2], others[1::2], strict=True):
        outcomes[place - 1] = settled(why, settlements[place - 1])
    return outcomes


def _settle_refusal(answer: Sequence[Any], settlement: Settlement) -> PenstockError:
    if answer[0] == b"missing":
        return queue_not_found(settlement.queue)
    if answer[0] == b"effects":
        return _effects_refusal(answer[2], settlement.effects)
    if answer[0] == b"lease_too_long":
        assert isinstance(settlement.action, ChangeVisibility)
        assert settlement.action.most_total_seconds is not None
        return lease_too_long(settlement.action.most_total_seconds)
    try:
        decode_receipts(settlement.queue, (settlement.receipt_handle, *settlement.also))
    except PenstockError as error:
        return error
    raise AssertionError(answer)


def receive_refusal(answer: bytes, queue: str, following: str | None) -> PenstockError:
    """Return why a receive was refused."""
    if answer == b"missing":
        return queue_not_found(queue)
    if answer == b"unfollowable":
        return nothing_to_follow()
    if answer == b"invalid" and following is not None:
        try:
            decode_receipt(queue, following)
        except PenstockError as error:
            return error
    return lease_lost("following")


def applied(answer: Sequence[Any], effects: Effects) -> ApplyReply:
    """Return the reply to effects on their own. Raises what refuses the first that cannot happen."""
    if answer[0] != b"applied":
        raise _effects_refusal(answer, effects)
    outcomes = tuple(sent(each, follow_up.message) for each, follow_up in zip(answer[1], effects.sends, strict=True))
    return ApplyReply(outcomes, tuple(map(bool, answer[2])))


def _effects_refusal(answer: Sequence[Any], effects: Effects) -> PenstockError:
    if answer[0] == b"guard":
        return guard_failed(effects.guards[answer[1]].key)
    follow_ups = [*effects.sends, *(join.follow_up for join in effects.joins)]
    follow_up = follow_ups[answer[1]]
    if answer[0] == b"missing":
        return queue_not_found(follow_up.queue)
    return _refusal(answer[2], follow_up.message)


def _refusal(settings: bytes, draft: Draft) -> PenstockError:
    error = refusal(decode_settings(settings), draft)
    assert error is not None, "the script and core.lifecycle disagree"
    return error


def described(shown: Sequence[Any]) -> QueueDescription:
    """Return a queue that a script describes."""
    settings, created_at, modified_at, purged_at, ready, delayed, in_flight, oldest, *totals, name = shown
    return QueueDescription(
        name=name.decode(),
        settings=decode_settings(settings),
        created_at=created_at,
        modified_at=modified_at,
        counts=QueueCounts(ready, delayed, in_flight),
        oldest_sent_at=None if oldest < 0 else oldest,
        purged_at=None if purged_at < 0 else purged_at,
        sent_total=totals[0],
        received_total=totals[1],
        deleted_total=totals[2],
    )


def found(answer: Any, queue: str) -> Any:
    """Return what was answered about a queue. Raises QueueNotFound."""
    if answer == b"missing":
        raise queue_not_found(queue)
    return answer
