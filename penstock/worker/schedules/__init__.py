"""Schedules: recurring rules kept in the store, of which every worker sends the occurrences, each of them once."""
