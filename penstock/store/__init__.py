"""How messages are kept: one contract, several stores, chosen by URL."""
