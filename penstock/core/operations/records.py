"""Operations on records."""

from msgspec import Struct

from penstock.core.effects import Record
from penstock.core.operations.operation import Done, Operation


class PutRecordsReply(Struct, frozen=True):
    """For each record whether it was kept (``False``: one was there and ``only_if_absent``)."""

    kept: tuple[bool, ...]


class PutRecords(Operation[PutRecordsReply], frozen=True):
    """Keep small expiring values."""

    records: tuple[Record, ...]


class RecordsReply(Struct, frozen=True):
    """For each key the record, or ``None``."""

    records: tuple[Record | None, ...]


class GetRecords(Operation[RecordsReply], frozen=True):
    """Read records by key."""

    keys: tuple[str, ...]


class DeleteRecords(Operation[Done], frozen=True):
    """Forget records by key."""

    keys: tuple[str, ...]


class RecordPage(Struct, frozen=True):
    """A page of records in order of their keys; ``next_after`` continues it."""

    records: tuple[Record, ...]
    next_after: str | None = None


class FindRecords(Operation[RecordPage], frozen=True, omit_defaults=True):
    """List records by the start of their key or by a tag (``tag=value``), or both, in order of their keys.

    Attributes:
        prefix: only keys that start so.
        tag: only records with this tag, written ``name=value``.
        after: go on after this key: only greater ones, or smaller ones when descending. Empty: from the beginning,
            whichever end that is.
        limit: at most so many, 1 to 1000.
        is_descending: the greatest key first.
    """

    prefix: str = ""
    tag: str | None = None
    after: str = ""
    limit: int = 100
    is_descending: bool = False
