"""Message keys: the queue number and the sequence number they hold."""

KEY_SHIFT = 40
SEQUENCE_MASK = (1 << KEY_SHIFT) - 1
