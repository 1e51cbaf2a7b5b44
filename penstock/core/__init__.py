"""Nouns and rules: what a queue, a message and an operation are. No I/O, no clock, no randomness."""
