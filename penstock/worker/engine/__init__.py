"""What a worker process does: fetch jobs, hold their leases, run them, settle them."""
