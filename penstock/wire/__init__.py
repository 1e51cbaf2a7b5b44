"""How bytes become operations and replies become bytes: one dialect a file, pure functions, no I/O."""
