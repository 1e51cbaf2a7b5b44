"""Who may call, as the store keeps it: keys, users and logins in its records, the same for all servers on it."""
