"""Message ids as the 16 bytes they are, and message keys as the queue number and sequence number they hold."""

KEY_SHIFT = 40
SEQUENCE_MASK = (1 << KEY_SHIFT) - 1


def to_blob(message_id: str) -> bytes:
    """Return a UUID's bytes. Raises ValueError for anything else."""
    blob = bytes.fromhex(message_id.replace("-", ""))
    if len(blob) != 16:
        raise ValueError(message_id)
    return blob


def to_text(blob: bytes) -> str:
    """Return a UUID's text."""
    digits = blob.hex("-", 2)
    return f"{digits[:4]}{digits[5:29]}{digits[30:34]}{digits[35:]}"
