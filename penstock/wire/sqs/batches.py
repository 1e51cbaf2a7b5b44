"""What all batches have in common: how many entries, their ids, and the entries that fail.

Source: SQS API reference, ``SendMessageBatch``; which mistakes fail the whole batch, as recorded of AWS.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from penstock.wire.sqs.errors import (
    BATCH_IDS_NOT_DISTINCT,
    EMPTY_BATCH,
    INVALID_BATCH_ID,
    TOO_MANY_ENTRIES,
    SqsError,
    missing,
)
from penstock.wire.sqs.limits import MOST_ENTRIES
from penstock.wire.sqs.results import BatchResultErrorEntry

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Entry(Protocol):
    """One entry of any batch."""

    id: str | None


def check_entries(entries: Sequence[Entry] | None, shape: str) -> list[str]:
    """Return the ids of a batch.

    Args:
        shape: what the Query protocol calls an entry, as errors do.

    Raises:
        SqsError: no entries or too many; an id that is missing, malformed or used twice.
    """
    if not entries:
        raise SqsError(f"There should be at least one {shape} in the request.", kind=EMPTY_BATCH)
    if len(entries) > MOST_ENTRIES:
        raise SqsError(
            f"Maximum number of entries per request are {MOST_ENTRIES}. You have sent {len(entries)}.",
            kind=TOO_MANY_ENTRIES,
        )
    given = [entry.id or "" for entry in entries]
    if all(map(_ID.fullmatch, given)) and len(set(given)) == len(given):
        return given
    ids: list[str] = []
    for number, entry in enumerate(entries, 1):
        if entry.id is None:
            raise missing(f"{shape}.{number}.Id")
        if not _ID.fullmatch(entry.id):
            raise SqsError(
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.",
                kind=INVALID_BATCH_ID,
            )
        if entry.id in ids:
            raise SqsError(f"Id {entry.id} repeated.", kind=BATCH_IDS_NOT_DISTINCT)
        ids.append(entry.id)
    return ids


def failed_entry(entry_id: str, error: SqsError) -> BatchResultErrorEntry:
    """Return how an entry that failed is answered."""
    return BatchResultErrorEntry(entry_id, error.kind.fault == "Sender", error.kind.code, error.entry_message)
