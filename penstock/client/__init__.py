"""What speaks to a server from another process."""
