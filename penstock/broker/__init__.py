"""The one place where operations are performed: validated, stamped with time and ids, given to the store."""
