"""What sealed content looks like, as far as it can be told without a key: which key it is under, and how much is in it.

Who keeps messages counts what their senders said, not what sealing adds (``core.messages.size_of``).
"""

MARK = "~sealed1."
"""What sealed text begins with; then come the key's id, a dot, and base64."""

MARK_BYTES = MARK.encode()

KEY_ID_LENGTH = 8
HEADER_LENGTH = len(MARK) + KEY_ID_LENGTH + 1
SALT_BYTES = 12
NONCE_BYTES = 12
TAG_BYTES = 16
ADDED_BYTES = SALT_BYTES + NONCE_BYTES + TAG_BYTES

_SHORTEST_TEXT = HEADER_LENGTH + -(-ADDED_BYTES // 3) * 4
_SHORTEST_BYTES = HEADER_LENGTH + ADDED_BYTES


def key_id_of(sealed: str | bytes) -> str | None:
    """Return the id of the key that content is sealed with; ``None``: it is in the clear."""
    if isinstance(sealed, str):
        if not sealed.startswith(MARK):
            return None
        header = sealed[:HEADER_LENGTH]
    else:
        if not sealed.startswith(MARK_BYTES):
            return None
        header = sealed[:HEADER_LENGTH].decode("ascii", "replace")
    key_id = header[len(MARK) : -1]
    return key_id if header.endswith(".") and len(key_id) == KEY_ID_LENGTH and key_id.isalnum() else None


def bytes_in(text: str) -> int:
    """Return how many bytes a text has in UTF-8; of a sealed one, how many the text has that is sealed in it."""
    if text.startswith(MARK) and len(text) >= _SHORTEST_TEXT:
        padding = 2 if text.endswith("==") else text.endswith("=")
        return (len(text) - HEADER_LENGTH) * 3 // 4 - padding - ADDED_BYTES
    return len(text) if text.isascii() else len(text.encode())


def length_of(value: bytes) -> int:
    """Return how many bytes a value has; of a sealed one, how many are sealed in it."""
    if value.startswith(MARK_BYTES) and len(value) >= _SHORTEST_BYTES:
        return len(value) - HEADER_LENGTH - ADDED_BYTES
    return len(value)
