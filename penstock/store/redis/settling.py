"""Settlements as the script takes them (``verbs.settle`` in settling.lua)."""

import struct
from collections.abc import Iterator, Sequence
from enum import Enum, auto

from penstock.core.clock import to_ms
from penstock.core.effects import NO_EFFECTS
from penstock.core.errors import PenstockError
from penstock.core.lifecycle import told
from penstock.core.receipts import TOKEN_BYTES, Receipt, decode_receipt, decode_receipts
from penstock.core.settlements import ChangeVisibility, DeadLetter, Delete, GiveBack, Settlement
from penstock.store.redis.drafts import Argument, pack_effects, pack_records

_NO_SEQUENCE_NUMBER = 1 << 47
_LETTERS = {
    (fenced, any_delivery, parks): "f" * fenced + "a" * any_delivery + "p" * parks
    for fenced in (False, True)
    for any_delivery in (False, True)
    for parks in (False, True)
}
_MOST_ALIKE = 500
_RECEIPT = struct.Struct(">HI12s")
_NONE = Receipt(_NO_SEQUENCE_NUMBER, bytes(TOKEN_BYTES))


def pack_receipt(receipt: Receipt) -> tuple[int, bytes]:
    """Return a receipt as arguments; a sequence number that no message can have names none."""
    return min(receipt.sequence_number, _NO_SEQUENCE_NUMBER), receipt.token


def pack_followed(queue: str, receipt_handle: str | None) -> tuple[Argument, ...]:
    """Return what a receive follows as arguments (``verbs.receive`` in receiving.lua)."""
    if receipt_handle is None:
        return ("", 0, b"")
    try:
        return ("r", *pack_receipt(decode_receipt(queue, receipt_handle)))
    except PenstockError:
        return ("x", *pack_receipt(_NONE))


class _Kind(Enum):
    """What ``pack_alike`` tells apart."""

    PLAIN = auto()
    """A deletion."""

    KEEPING = auto()
    """A deletion that keeps a record, as the end of most jobs is."""

    OTHER = auto()
    """Anything else, which goes by itself."""


def parts_alike(settlements: Sequence[Settlement]) -> Iterator[Sequence[Settlement]]:
    """Split settlements, in their order, so that ``pack_alike`` is for each part of several: deletions from one queue,
    none of which keeps a record, or each of them one."""
    first, before = 0, None
    for at, each in enumerate(settlements):
        kind = _kind_of(each)
        this = None if kind is _Kind.OTHER else (kind, each.queue, each.is_fenced)
        if at > first and (this is None or this != before or at - first == _MOST_ALIKE):
            yield settlements[first:at]
            first = at
        before = this
    if settlements:
        yield settlements[first:]


def _kind_of(settlement: Settlement) -> _Kind:
    if type(settlement.action) is not Delete or settlement.also or settlement.parks_group:
        return _Kind.OTHER
    effects = settlement.effects
    if effects is NO_EFFECTS:
        return _Kind.PLAIN
    others = effects.guards or effects.forgets or effects.sends or effects.joins or effects.arrivals
    is_keeping = len(effects.records) == 1 and not others and not effects.records[0].only_if_absent
    return _Kind.KEEPING if is_keeping else _Kind.OTHER


def pack_alike(settlements: Sequence[Settlement]) -> list[Argument] | None:
    """Return settlements that are alike as arguments (``verbs.settle_alike``), or ``None``: one names no message, or
    two the same message or record."""
    queue = settlements[0].queue
    try:
        receipts = decode_receipts(queue, [each.receipt_handle for each in settlements])
        packed = [
            _RECEIPT.pack(each.sequence_number >> 32, each.sequence_number & 0xFFFFFFFF, each.token)
            for each in receipts
        ]
    except (PenstockError, struct.error):
        return None
    arguments: list[Argument] = [queue, int(settlements[0].is_fenced), b"".join(packed)]
    records = [each.effects.records[0] for each in settlements if each.effects.records]
    if len({each.key for each in records}) < len(records):
        return None
    return arguments + pack_records(records)


def pack_settlement(settlement: Settlement, now: int) -> list[Argument]:
    """Return a settlement as arguments."""
    action, what = settlement.action, "d"
    until = most_ms = 0
    detail = ""
    if isinstance(action, ChangeVisibility):
        what, until = "c", now + to_ms(action.visibility_timeout_seconds)
        detail = f"{action.visibility_timeout_seconds:g} s"
        if action.most_total_seconds is not None:
            most_ms = to_ms(action.most_total_seconds) + 1
    elif isinstance(action, GiveBack):
        what, until, detail = "gn" if action.is_counted else "g", now + to_ms(action.delay_seconds), told(action)
    elif isinstance(action, DeadLetter):
        what, detail = "l", action.reason
    try:
        if settlement.also:
            receipts = decode_receipts(settlement.queue, (settlement.receipt_handle, *settlement.also))
        else:
            receipts = [decode_receipt(settlement.queue, settlement.receipt_handle)]
    except PenstockError:
        what, receipts = "x", [_NONE]
    arguments: list[Argument] = [settlement.queue, len(receipts)]
    for receipt in receipts:
        arguments += pack_receipt(receipt)
    what += _LETTERS[settlement.is_fenced, settlement.any_delivery, settlement.parks_group]
    has_effects = settlement.effects is not NO_EFFECTS and settlement.effects != NO_EFFECTS
    if has_effects:
        what += "e"
    arguments.append(what)
    if what[0] != "d":
        arguments += (until, most_ms, detail)
    return arguments + pack_effects(settlement.effects) if has_effects else arguments
