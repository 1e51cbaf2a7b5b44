"""The one place where operations are performed: validated, stamped with time, ids and tokens, given to the store."""
