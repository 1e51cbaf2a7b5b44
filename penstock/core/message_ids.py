"""Message ids as the 16 bytes of the UUIDs they are."""


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


def to_texts(blobs: bytes) -> list[str]:
    """Return the texts of UUIDs whose bytes are written one behind the other, for less than one by one."""
    digits = blobs.hex()
    return [
        f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}-{digits[at + 16 : at + 20]}"
        f"-{digits[at + 20 : at + 32]}"
        for at in range(0, len(digits), 32)
    ]
