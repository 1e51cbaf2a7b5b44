"""Receipt handles: opaque texts that name one delivery. A stale one never matches what somebody else holds.

Form: 40 characters of URL-safe base64 over version (1 byte), shard (2), epoch (3), CRC-32 of the queue's name (4),
sequence number (8), token (12). The token is minted for each delivery; shard and epoch say where to look after a store
has been spread over other servers.
"""

import binascii
import struct
import zlib
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from penstock.core.errors import InvalidRequest, ReceiptHandleInvalid

TOKEN_BYTES = 12
_VERSION = 1
_LAYOUT = struct.Struct(">BHBHIQ12s")
_HANDLE_CHARACTERS = _LAYOUT.size * 4 // 3
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_+/", b"+/!!")


class Receipt(Struct, frozen=True, gc=False):
    """What a receipt handle says: which message of the queue, and which delivery of it."""

    sequence_number: int
    token: bytes
    shard: int = 0
    epoch: int = 0


def encode_receipt(queue: str, receipt: Receipt) -> str:
    """Return the receipt handle of a delivery from ``queue``."""
    return _to_text(
        _LAYOUT.pack(
            _VERSION,
            receipt.shard,
            receipt.epoch >> 16,
            receipt.epoch & 0xFFFF,
            _checksum_of(queue),
            receipt.sequence_number,
            receipt.token,
        )
    )


def encode_receipts(queue: str, deliveries: Iterable[tuple[int, bytes]]) -> list[str]:
    """Return the receipt handles of deliveries from ``queue``, each a sequence number and a token, for less than one by
    one."""
    checksum = _checksum_of(queue)
    text = _to_text(
        b"".join([_LAYOUT.pack(_VERSION, 0, 0, 0, checksum, number, token) for number, token in deliveries])
    )
    return [text[at : at + _HANDLE_CHARACTERS] for at in range(0, len(text), _HANDLE_CHARACTERS)]


def _to_text(packed: bytes) -> str:
    # a receipt is 30 bytes: what is written one behind the other needs no padding
    return binascii.b2a_base64(packed, newline=False).translate(_TO_URL_SAFE).decode("ascii")


def decode_receipt(queue: str, receipt_handle: str) -> Receipt:
    """Return what a receipt handle says.

    Raises:
        ReceiptHandleInvalid: it is no receipt handle, or was given out by another queue.
    """
    if len(receipt_handle) != _HANDLE_CHARACTERS:
        raise _invalid(receipt_handle)
    receipts = _from_text(queue, receipt_handle)
    if receipts is None:
        raise _invalid(receipt_handle)
    return receipts[0]


def queue_checksum(receipt_handle: str) -> int | None:
    """Return the checksum of the name of the queue that gave a receipt handle out, or ``None``: it is none."""
    if len(receipt_handle) != _HANDLE_CHARACTERS:
        return None
    try:
        packed = binascii.a2b_base64(receipt_handle.encode("ascii").translate(_FROM_URL_SAFE), strict_mode=True)
        return int(_LAYOUT.unpack(packed)[4])
    except (ValueError, struct.error):
        return None


def checksum_of(queue: str) -> int:
    """Return the checksum of a queue's name that its receipt handles carry."""
    return zlib.crc32(queue.encode())


def decode_receipts(queue: str, receipt_handles: Iterable[str]) -> list[Receipt]:
    """Return what several receipt handles say.

    Raises:
        ReceiptHandleInvalid: one is no receipt handle, or was given out by another queue.
        InvalidRequest: two are of one message.
    """
    handles = list(receipt_handles)
    receipts = _from_text(queue, "".join(handles)) if set(map(len, handles)) == {_HANDLE_CHARACTERS} else None
    if receipts is None:
        receipts = [decode_receipt(queue, each) for each in handles]
    if len({each.sequence_number for each in receipts}) < len(receipts):
        raise InvalidRequest("Two receipt handles are of one message.", hint="Name each message once.", field="also")
    return receipts


def _from_text(queue: str, text: str) -> list[Receipt] | None:
    """Return what receipt handles of the right length say, one written behind the other; ``None`` if one is invalid."""
    checksum = _checksum_of(queue)
    receipts = []
    try:
        packed = binascii.a2b_base64(text.encode("ascii").translate(_FROM_URL_SAFE), strict_mode=True)
        if 4 * len(packed) != 3 * len(text):
            return None  # some of it was padding
        for version, shard, epoch_high, epoch_low, queue_crc, sequence_number, token in _LAYOUT.iter_unpack(packed):
            if version != _VERSION or queue_crc != checksum:
                return None
            receipts.append(Receipt(sequence_number, token, shard, epoch_high << 16 | epoch_low))
    except (ValueError, struct.error):
        return None
    return receipts


_checksum_of = lru_cache(4096)(checksum_of)


def _invalid(receipt_handle: str) -> ReceiptHandleInvalid:
    return ReceiptHandleInvalid(
        f"The receipt handle {receipt_handle[:80]!r} is not one this queue gave out.",
        hint="Use the receipt handle of the delivery, and the queue it was received from.",
        field="receipt_handle",
    )
