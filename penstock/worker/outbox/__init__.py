"""Jobs written into the user's own transaction, and relayed to the broker effectively once."""
