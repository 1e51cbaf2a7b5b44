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
    packed = _LAYOUT.pack(
        _VERSION,
        receipt.shard,
        receipt.epoch >> 16,
        receipt.epoch & 0xFFFF,
        _checksum_of(queue),
        receipt.sequence_number,
        receipt.token,
    )
    return binascii.b2a_base64(packed, newline=False).translate(_TO_URL_SAFE).decode("ascii")


def decode_receipt(queue: str, receipt_handle: str) -> Receipt:
    """Return what a receipt handle says.

    Raises:
        ReceiptHandleInvalid: it is no receipt handle, or was given out by another queue.
    """
    if len(receipt_handle) != _HANDLE_CHARACTERS:
        raise _invalid(receipt_handle)
    try:
        packed = binascii.a2b_base64(receipt_handle.encode("ascii").translate(_FROM_URL_SAFE), strict_mode=True)
        version, shard, epoch_high, epoch_low, queue_crc, sequence_number, token = _LAYOUT.unpack(packed)
    except (ValueError, struct.error):
        raise _invalid(receipt_handle) from None
    if version != _VERSION or queue_crc != _checksum_of(queue):
        raise _invalid(receipt_handle)
    return Receipt(sequence_number, token, shard, epoch_high << 16 | epoch_low)


def decode_receipts(queue: str, receipt_handles: Iterable[str]) -> list[Receipt]:
    """Return what several receipt handles say.

    Raises:
        ReceiptHandleInvalid: one is no receipt handle, or was given out by another queue.
        InvalidRequest: two are of one message.
    """
    receipts = [decode_receipt(queue, each) for each in receipt_handles]
    if len({each.sequence_number for each in receipts}) < len(receipts):
        raise InvalidRequest("Two receipt handles are of one message.", hint="Name each message once.", field="also")
    return receipts


@lru_cache(4096)
def _checksum_of(queue: str) -> int:
    return zlib.crc32(queue.encode())


def _invalid(receipt_handle: str) -> ReceiptHandleInvalid:
    return ReceiptHandleInvalid(
        f"The receipt handle {receipt_handle[:80]!r} is not one this queue gave out.",
        hint="Use the receipt handle of the delivery, and the queue it was received from.",
        field="receipt_handle",
    )
