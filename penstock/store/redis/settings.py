"""A queue's settings as the scripts read them (FACTS in queues.lua)."""

import struct

import msgspec

from penstock.core.clock import to_ms
from penstock.core.queues import QueueSettings

_FLAGS = struct.Struct(">7B")
_HISTORY = {"off": 0, "errors": 1, "all": 2}

encode_settings = msgspec.json.Encoder().encode
decode_settings = msgspec.json.Decoder(QueueSettings).decode


def pack_facts(settings: QueueSettings) -> bytes:
    """Return what the scripts need to know of a queue's settings."""
    flags = _FLAGS.pack(
        settings.group_order == "strict",
        settings.is_fifo,
        settings.redelivery == "first",
        settings.is_paused,
        _HISTORY[settings.history],
        settings.content_based_deduplication,
        settings.deduplicate_per_group,
    )
    numbers = (
        to_ms(settings.visibility_timeout_seconds),
        to_ms(settings.delay_seconds),
        to_ms(settings.retention_seconds),
        settings.max_message_bytes,
        to_ms(settings.receive_wait_seconds),
        to_ms(settings.deduplication_window_seconds),
        settings.max_in_flight or 0,
        settings.group_max_in_flight or 0,
        0 if settings.redrive is None else settings.redrive.max_receive_count,
    )
    target = dead_letter_queue_of(settings).encode()
    return flags + b"".join(number.to_bytes(6, "big") for number in numbers) + bytes([len(target)]) + target


def dead_letter_queue_of(settings: QueueSettings) -> str:
    """Return where spent messages go, or the empty text."""
    return "" if settings.redrive is None else settings.redrive.dead_letter_queue
