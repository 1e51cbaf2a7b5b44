"""A batch on its way to the database: requests as the parallel arrays that the function ``perform`` takes."""

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.core.clock import to_ms
from penstock.core.effects import NO_EFFECTS, Effects, Record
from penstock.core.errors import PenstockError
from penstock.core.lifecycle import told
from penstock.core.messages import Draft
from penstock.core.receipts import Receipt, decode_receipt, decode_receipts
from penstock.core.settlements import ChangeVisibility, DeadLetter, Delete, GiveBack, Settled, Settlement, SettleOutcome
from penstock.store.postgres.requests import ApplyRequest, ReceiveRequest, Request, SendRequest, SettleRequest
from penstock.store.postgres.rows import SEQUENCE_MASK, draft_row

DELETE, CHANGE, GIVE_BACK, DEAD_LETTER, ONLY_EFFECTS = 0, 1, 2, 3, 9
FENCED, ANY_DELIVERY, PARKS, PLAIN, PLAIN_RECORDS, COUNTED = 1, 2, 4, 8, 16, 32
_FLAGS = 4
_NO_EFFECTS_SPANS = (1, 0) * 6

encode_tags = msgspec.json.Encoder().encode


class Columns:
    """Rows, turned into as many arrays as a row has columns."""

    def __init__(self, width: int) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self._width = width

    def arrays(self) -> list[Sequence[Any]]:
        """Return the columns."""
        return list(zip(*self.rows, strict=True)) if self.rows else [()] * self._width


class Packed:
    """The arguments of one batch, and which row belongs to which request.

    Attributes:
        settlements: for each settlement that is asked of the database its request and place; ``None``: effects alone.
        drafts: of the effects, with their queues.
        guards: keys of the effects' guards.
        sends: for each message that is sent its request and place.
        receives: the requests to receive.
        outcomes: of settlements that the database need not be asked about.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self.settlements: list[tuple[SettleRequest, int] | tuple[ApplyRequest, None]] = []
        self.outcomes: dict[tuple[SettleRequest, int], SettleOutcome] = {}
        self.drafts: list[tuple[str, Draft]] = []
        self.guards: list[str] = []
        self.sends: list[tuple[SendRequest, int]] = []
        self.receives: list[ReceiveRequest] = []
        self._settles, self._effect_drafts = Columns(9), Columns(11)
        self._spans: list[int] = []
        self._joins, self._arrivals, self._records = Columns(4), Columns(2), Columns(5)
        self._tag_spans: list[int] = []
        self._tags: list[bytes] = []
        self._tag_records: list[int] = []
        self._record_owners: list[int] = []
        self._record_keys: set[str] = set()
        self._guard_values: list[bytes | None] = []
        self._forgets: list[bytes] = []
        self._also: list[Receipt] = []
        self._is_ordered = False
        self._receive_groups: list[int] = []
        sends: dict[str, list[SendRequest]] = {}
        for request in requests:
            if type(request) is SendRequest:
                sends.setdefault(request.queue, []).append(request)
            elif type(request) is ReceiveRequest:
                self.receives.append(request)
            elif type(request) is SettleRequest:
                first = len(self._settles.rows)
                self._is_ordered = False
                for at, settlement in enumerate(request.settlements):
                    self._add_settlement(request, at, settlement)
                self._keep_order(first)
            elif type(request) is ApplyRequest:
                self.settlements.append((request, None))
                self._settles.rows.append((None, 0, b"", ONLY_EFFECTS, 0, 0, None, None, request.now))
                self._add_effects(request.effects)
                self._add_also([])
        self._group_receives()
        self._send_queues, self._send_spans, self._sent = list(sends), list[int](), Columns(11)
        for together in sends.values():
            self._send_spans.append(len(self.sends) + 1)
            for send in together:
                for at, draft in enumerate(send.drafts):
                    self.sends.append((send, at))
                    self._sent.rows.append((*draft_row(draft), send.now))
            self._send_spans.append(len(self.sends))

    def arguments(self) -> list[Any]:
        """Return what ``perform`` takes after writer, batch and durability."""
        return [
            *self._settles.arrays(),
            self._spans,
            *self._effect_drafts.arrays(),
            *self._joins.arrays(),
            *self._arrivals.arrays(),
            *self._records_arguments(),
            [key.encode() for key in self.guards],
            self._guard_values,
            self._forgets,
            [_sequence_of(each) for each in self._also],
            [each.token for each in self._also],
            self._send_queues,
            self._send_spans,
            *self._sent.arrays(),
            *self._receive_arguments(),
        ]

    def together_with(self, at: int) -> list[ReceiveRequest]:
        """Return the receives that may have been done as one with that one, which is their first, or it alone."""
        for first, last in zip(self._receive_groups[::2], self._receive_groups[1::2], strict=True):
            if first == at + 1:
                return self.receives[first - 1 : last]
        return [self.receives[at]]

    def _add_settlement(self, request: SettleRequest, at: int, settlement: Settlement) -> None:
        try:
            receipt, *also = decode_receipts(settlement.queue, (settlement.receipt_handle, *settlement.also))
        except PenstockError as error:
            # a queue that is not there comes first; the database says so by the code of a settlement
            self._settle_invalid(request, at, settlement, SettleOutcome(Settled.REFUSED, problem=error.problem))
            return
        action, effects = settlement.action, settlement.effects
        flags = FENCED if settlement.is_fenced else 0
        if settlement.parks_group:
            flags |= PARKS
        has_effects = effects is not NO_EFFECTS and effects != NO_EFFECTS
        hold_ms = most_ms = detail = None
        if type(action) is Delete:
            kind = DELETE
            if flags & PARKS == 0 and not also and (not has_effects or _only_keeps(effects)):
                flags |= PLAIN
                if has_effects and self._may_replace(effects.records):
                    flags |= PLAIN_RECORDS
        elif type(action) is ChangeVisibility:
            kind, hold_ms = CHANGE, to_ms(action.visibility_timeout_seconds)
            most_ms = None if action.most_total_seconds is None else to_ms(action.most_total_seconds)
            detail = f"{action.visibility_timeout_seconds:g} s".encode()
            if settlement.any_delivery and flags == 0 and not has_effects:
                flags |= ANY_DELIVERY
        elif type(action) is GiveBack:
            kind, hold_ms, detail = GIVE_BACK, to_ms(action.delay_seconds), told(action).encode()
            flags |= COUNTED if action.is_counted else 0
        else:
            assert isinstance(action, DeadLetter)
            kind, detail = DEAD_LETTER, action.reason.encode()
        self.settlements.append((request, at))
        self._settles.rows.append(
            (
                settlement.queue,
                _sequence_of(receipt),
                receipt.token,
                kind,
                flags,
                hold_ms,
                most_ms,
                detail,
                request.now,
            )
        )
        if has_effects:
            self._add_effects(effects)
        else:
            self._spans += _NO_EFFECTS_SPANS
        self._add_also(also)

    def _keep_order(self, first: int) -> None:
        """Where one settlement of a request may depend on another, none goes before the others."""
        rows = self._settles.rows[first:]
        if len(rows) == 1:
            return
        if (
            not self._is_ordered
            and all(row[_FLAGS] & PLAIN for row in rows)
            and len({row[:2] for row in rows}) == len(rows)
        ):
            return
        self._settles.rows[first:] = [(*row[:_FLAGS], row[_FLAGS] & ~PLAIN, *row[_FLAGS + 1 :]) for row in rows]

    def _settle_invalid(self, request: SettleRequest, at: int, settlement: Settlement, outcome: SettleOutcome) -> None:
        """Ask about a message that cannot be: the answer is whether the queue is there."""
        self.outcomes[request, at] = outcome
        self.settlements.append((request, at))
        self._settles.rows.append((settlement.queue, 0, b"", DELETE, 0, None, None, None, request.now))
        self._spans += _NO_EFFECTS_SPANS
        self._add_also([])

    def _add_effects(self, effects: Effects) -> None:
        first_draft, first_join = len(self.drafts) + 1, len(self._joins.rows) + 1
        for follow_up in (*effects.sends, *(join.follow_up for join in effects.joins)):
            self.drafts.append((follow_up.queue, follow_up.message))
            self._effect_drafts.rows.append((follow_up.queue, *draft_row(follow_up.message)))
        first_of_joins = first_draft + len(effects.sends)
        for at, join in enumerate(effects.joins):
            self._joins.rows.append((join.join_id.encode(), join.parts, first_of_joins + at, join.expires_at))
        first_arrival, first_record = len(self._arrivals.rows) + 1, len(self._records.rows) + 1
        self._arrivals.rows += [(each.join_id.encode(), each.part_id.encode()) for each in effects.arrivals]
        for record in effects.records:
            self._add_record(record)
        self._spans += (
            first_draft,
            len(effects.sends) + len(effects.joins),
            first_join,
            len(effects.joins),
            first_arrival,
            len(effects.arrivals),
            first_record,
            len(effects.records),
            len(self.guards) + 1,
            len(effects.guards),
            len(self._forgets) + 1,
            len(effects.forgets),
        )
        self.guards += [each.key for each in effects.guards]
        self._guard_values += [each.value for each in effects.guards]
        self._forgets += [key.encode() for key in effects.forgets]

    def _add_also(self, also: list[Receipt]) -> None:
        self._spans += (len(self._also) + 1, len(also))
        self._also += also

    def _may_replace(self, records: tuple[Record, ...]) -> bool:
        """Return whether records may be kept in any order beside the others of the batch."""
        keys = {record.key for record in records}
        may_replace = len(keys) == len(records) and self._record_keys.isdisjoint(keys)
        may_replace = may_replace and not any(record.only_if_absent for record in records)
        self._record_keys |= keys
        self._is_ordered |= not may_replace
        return may_replace

    def _group_receives(self) -> None:
        """Let receives that differ in nothing but their tokens lie side by side."""
        groups: dict[tuple[object, ...], list[ReceiveRequest]] = {}
        for at, each in enumerate(self.receives):
            alone = None if each.attempt_id is None and each.following is None else at
            groups.setdefault((each.queue, each.timeout_ms, each.owner, alone), []).append(each)
        self.receives = [each for together in groups.values() for each in together]
        first = 1
        for together in groups.values():
            self._receive_groups += (first, first + len(together) - 1)
            first += len(together)

    def _add_record(self, record: Record) -> None:
        self._record_owners.append(len(self._settles.rows))
        tags = [f"{name}={value}".encode() for name, value in record.tags.items()]
        self._tag_spans += (len(self._tags) + 1, len(tags))
        self._tags += tags
        self._tag_records += [len(self._records.rows) + 1] * len(tags)
        self._records.rows.append(
            (
                record.key.encode(),
                record.value,
                encode_tags(dict(record.tags)),
                record.expires_at,
                record.only_if_absent,
            )
        )

    def _records_arguments(self) -> list[Any]:
        keys, values, tags, ends, only_absent = self._records.arrays()
        return [
            keys,
            values,
            tags,
            self._tag_spans,
            ends,
            only_absent,
            self._record_owners,
            self._tags,
            self._tag_records,
        ]

    def _receive_arguments(self) -> list[Any]:
        spans: list[int] = []
        tokens: list[bytes] = []
        followed = [_followed(each) for each in self.receives]
        for each in self.receives:
            spans += (len(tokens) + 1, len(tokens) + len(each.tokens))
            tokens += each.tokens
        return [
            [each.queue for each in self.receives],
            spans,
            tokens,
            [each.timeout_ms for each in self.receives],
            [each.now for each in self.receives],
            [None if each.owner is None else each.owner.encode() for each in self.receives],
            [None if each.attempt_id is None else each.attempt_id.encode() for each in self.receives],
            self._receive_groups,
            [sequence for sequence, _ in followed],
            [token for _, token in followed],
        ]


def _sequence_of(receipt: Receipt) -> int:
    """Return a sequence number that fits in a key; 0, which no message has, for one that no queue can reach."""
    return receipt.sequence_number if receipt.sequence_number <= SEQUENCE_MASK else 0


def _only_keeps(effects: Effects) -> bool:
    return not (effects.guards or effects.forgets or effects.sends or effects.joins or effects.arrivals)


def _followed(request: ReceiveRequest) -> tuple[int | None, bytes | None]:
    """Return sequence number and token of the delivery that is followed; -1 for what is no receipt handle."""
    if request.following is None:
        return None, None
    try:
        receipt = decode_receipt(request.queue, request.following)
    except PenstockError:
        return -1, None
    return _sequence_of(receipt), receipt.token
