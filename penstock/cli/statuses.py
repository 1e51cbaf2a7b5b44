"""Exit statuses of ``penstock``: what a script can go by."""

DONE = 0
FAILED = 1
WRONG_USE = 2
NOT_FOUND = 3
UNREACHABLE = 4
REFUSED = 5
INTERRUPTED = 130

MEANINGS = {
    DONE: "It was done.",
    FAILED: "It was not done, or not all of it; standard error says why.",
    WRONG_USE: "The command line or the configuration cannot be meant so. Nothing was changed.",
    NOT_FOUND: "There is no such queue, message, job, or whatever else was named. Nothing was changed.",
    UNREACHABLE: "The server or the store cannot be reached or did not answer; it may be worth trying again.",
    REFUSED: "The key is missing or wrong, or it does not allow that.",
    INTERRUPTED: "A second signal did not wait for the end; or Ctrl-C ended it.",
}

_OF_CODES = {
    "configuration_invalid": WRONG_USE,
    "encryption_key_missing": REFUSED,
    "app_not_loaded": WRONG_USE,
    "not_found": NOT_FOUND,
    "queue_not_found": NOT_FOUND,
    "message_not_found": NOT_FOUND,
    "move_not_found": NOT_FOUND,
    "job_unknown": NOT_FOUND,
    "workflow_unknown": NOT_FOUND,
    "schedule_not_found": NOT_FOUND,
    "worker_not_found": NOT_FOUND,
    "key_not_found": NOT_FOUND,
    "user_not_found": NOT_FOUND,
    "store_unavailable": UNREACHABLE,
    "not_authenticated": REFUSED,
    "access_denied": REFUSED,
}


def status_of(code: str) -> int:
    """Return the exit status of a command that ended with an error of this code."""
    return _OF_CODES.get(code, FAILED)
