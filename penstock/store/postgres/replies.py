"""A batch on its way back: the replies of the function ``perform`` as the outcome of each request."""

from collections.abc import Sequence
from typing import Any

from penstock.core.errors import PenstockError
from penstock.core.lifecycle import refusal
from penstock.core.messages import Delivery, Draft
from penstock.core.operations import ApplyReply, Refused, SendOutcome, Sent
from penstock.core.receipts import decode_receipt
from penstock.core.refusals import guard_failed, lease_lost, lease_too_long, nothing_to_follow, queue_not_found
from penstock.core.settlements import ChangeVisibility, Settled, SettleOutcome
from penstock.store.contract import Received, wakeup_name
from penstock.store.postgres.packing import Packed
from penstock.store.postgres.requests import ApplyRequest, ReceiveRequest, Request, SendRequest, SettleRequest
from penstock.store.postgres.rows import SEQUENCE_MASK, decode_settings, delivery

KIND, OWNER, NUMBER, CODE, KEY, ID, INSTANT, NAME = range(8)
GROUP, EXTRAS = 13, 15
_SETTLED = {0: Settled.DONE, 1: Settled.GONE, 2: Settled.STALE, 3: Settled.EXPIRED}

Outcome = Any
"""What a request's future gets: a result, or an error to raise."""


class Answers:
    """Reads the replies to a batch.

    Attributes:
        outcomes: by request.
        wakeups: the names of wake-ups under which something may be receivable, and from when on.
    """

    def __init__(self, requests: Sequence[Request], packed: Packed, rows: Sequence[Any]) -> None:
        self.outcomes: dict[Request, Outcome] = {}
        self.wakeups: dict[str, int] = {}
        self._packed = packed
        self._lists: dict[Request, list[Any]] = {}
        for request in requests:
            if type(request) is SendRequest:
                self._lists[request] = [None] * len(request.drafts)
            elif type(request) is SettleRequest:
                self._lists[request] = [None] * len(request.settlements)
            elif type(request) is ApplyRequest:
                self._lists[request] = [None] * (len(request.effects.sends) + len(request.effects.records))
            else:
                self._lists[request] = []
        self._tokens: dict[int, bytes] = {}
        self._found: dict[Request, Any] = {}
        readers = {
            b"S": self._kept,
            b"s": self._sent,
            b"q": self._not_found,
            b"x": self._nowhere,
            b"d": self._settled,
            b"e": self._sent_by_effects,
            b"k": self._record,
            b"m": self._delivered,
            b"t": self._token,
            b"r": self._received,
            b"w": self._woken,
            b"a": self._begun,
        }
        for row in rows:
            readers[row[KIND]](row)
        for request in requests:
            if request not in self.outcomes:
                self.outcomes[request] = self._whole(request)

    def _begun(self, row: Any) -> None:
        """The batch had happened already: the others tell again what came of it."""

    # -- sends -------------------------------------------------------------------------------------------------------

    def _kept(self, row: Any) -> None:
        first, sequence = row[OWNER], row[KEY] & SEQUENCE_MASK
        for at in range(row[NUMBER]):
            request, place = self._packed.sends[first + at]
            message_id = request.drafts[place].message_id
            assert message_id is not None
            self._lists[request][place] = Sent(message_id, sequence + at)

    def _sent(self, row: Any) -> None:
        request, place = self._packed.sends[row[OWNER]]
        self._lists[request][place] = _send_outcome(row, request.drafts[place])

    def _sent_by_effects(self, row: Any) -> None:
        request, _ = self._packed.settlements[row[OWNER]]
        assert isinstance(request, ApplyRequest)
        self._lists[request][row[NUMBER]] = _send_outcome(row, request.effects.sends[row[NUMBER]].message)

    def _not_found(self, row: Any) -> None:
        for at in range(row[OWNER], row[OWNER] + row[NUMBER]):
            request, _ = self._packed.sends[at]
            self.outcomes[request] = queue_not_found(request.queue)

    # -- settlements -------------------------------------------------------------------------------------------------

    def _settled(self, row: Any) -> None:
        request, at = self._packed.settlements[row[OWNER]]
        if isinstance(request, ApplyRequest):
            if row[CODE] in (5, 7):
                self.outcomes[request] = self._refusal(row)
            return
        assert at is not None
        self._lists[request][at] = self._settle_outcome(request, at, row)

    def _settle_outcome(self, request: SettleRequest, at: int, row: Any) -> SettleOutcome:
        settlement, code = request.settlements[at], row[CODE]
        message_id = None if row[ID] is None else str(row[ID])
        if code == 6:
            return SettleOutcome(Settled.REFUSED, problem=queue_not_found(settlement.queue).problem)
        if (request, at) in self._packed.outcomes:
            return self._packed.outcomes[request, at]
        if code in _SETTLED:
            return SettleOutcome(_SETTLED[code], message_id)
        if code == 4:
            assert isinstance(settlement.action, ChangeVisibility)
            error: PenstockError = lease_too_long(settlement.action.most_total_seconds or 0)
        else:
            error = self._refusal(row)
        return SettleOutcome(Settled.REFUSED, message_id, error.problem)

    def _refusal(self, row: Any) -> PenstockError:
        """Return why the effects that a reply names cannot happen."""
        if row[CODE] == 7:
            return guard_failed(self._packed.guards[row[NUMBER] - 1])
        queue, draft = self._packed.drafts[row[NUMBER] - 1]
        return queue_not_found(queue) if row[EXTRAS] is None else _refused(row[EXTRAS], draft)

    def _record(self, row: Any) -> None:
        request, _ = self._packed.settlements[row[OWNER]]
        assert isinstance(request, ApplyRequest)
        self._lists[request][len(request.effects.sends) + row[NUMBER]] = bool(row[CODE])

    # -- receives ----------------------------------------------------------------------------------------------------

    def _delivered(self, row: Any) -> None:
        # of receives that were done as one the first gets what comes first; an attempt that is asked for again gets
        # what it got before, however many tokens it brings
        number = row[NUMBER]
        for request in self._packed.together_with(row[OWNER]):
            if number < len(request.tokens) or request.attempt_id is not None:
                self._lists[request].append((number, row))
                return
            number -= len(request.tokens)
        raise AssertionError("more deliveries than were asked for")

    def _nowhere(self, row: Any) -> None:
        for request in self._packed.together_with(row[OWNER]):
            self.outcomes[request] = queue_not_found(request.queue)

    def _token(self, row: Any) -> None:
        self._tokens[row[KEY]] = row[EXTRAS]

    def _received(self, row: Any) -> None:
        for request in self._packed.together_with(row[OWNER]):
            self._found[request] = row

    def _woken(self, row: Any) -> None:
        note_wakeup(self.wakeups, row[NAME], row[GROUP], row[INSTANT])

    # -- whole requests ----------------------------------------------------------------------------------------------

    def _whole(self, request: Request) -> Outcome:
        found = self._lists[request]
        if type(request) is ReceiveRequest:
            return self._whole_receive(request, found)
        if type(request) is ApplyRequest:
            count = len(request.effects.sends)
            return ApplyReply(tuple(found[:count]), tuple(found[count:]))
        return tuple(found)

    def _whole_receive(self, request: ReceiveRequest, rows: list[Any]) -> Outcome:
        rows.sort(key=_by_number)
        deliveries: list[Delivery] = []
        for number, row in rows:
            token = self._tokens.get(row[KEY]) or request.tokens[number]
            deliveries.append(delivery(request.queue, row, token))
        if deliveries:
            return Received(tuple(deliveries))
        row = self._found[request]
        if row[CODE] > 1:
            return _not_followed(row[CODE], request)
        group_id = None if row[GROUP] is None else row[GROUP].decode()
        return Received((), row[INSTANT], bool(row[CODE]), row[KEY], group_id)


def note_wakeup(wakeups: dict[str, int], queue: str, group_id: bytes | None, at: int) -> None:
    """Keep the earliest instant of each name of wake-ups."""
    name = queue if group_id is None else wakeup_name(queue, group_id.decode())
    known = wakeups.get(name)
    if known is None or at < known:
        wakeups[name] = at


def _not_followed(code: int, request: ReceiveRequest) -> PenstockError:
    if code == 2:
        return nothing_to_follow()
    if code == 3:
        return lease_lost("following")
    assert request.following is not None
    try:
        decode_receipt(request.queue, request.following)
    except PenstockError as error:
        return error
    raise AssertionError("the database was told that it is no receipt handle")


def _by_number(numbered: tuple[int, Any]) -> int:
    return numbered[0]


def _send_outcome(row: Any, draft: Draft) -> SendOutcome:
    if row[CODE] == 2:
        return Refused(_refused(row[EXTRAS], draft).problem)
    message_id = draft.message_id if row[ID] is None else str(row[ID])
    assert message_id is not None
    return Sent(message_id, row[KEY] & SEQUENCE_MASK, is_duplicate=row[CODE] == 1)


def _refused(settings: bytes, draft: Draft) -> PenstockError:
    error = refusal(decode_settings(settings), draft)
    assert error is not None, "the database refuses what core.lifecycle.refusal does not"
    return error
