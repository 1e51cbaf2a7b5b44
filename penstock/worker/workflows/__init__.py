"""Workflows: jobs that come after one another and hand results on. Every step is a job; joins in the store link
them."""
