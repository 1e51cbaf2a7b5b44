"""The table in the user's database: a row for each job that is to be relayed."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from penstock.core.errors import InvalidRequest
from penstock.core.messages import Draft
from penstock.worker.outbox.connections import Dialect
from penstock.worker.sending import Request

TABLE = "penstock_outbox"
AT_ONCE = 100

INSERT = f"INSERT INTO {TABLE} (job_id, queue, message) VALUES (?, ?, ?)"
SELECT = f"SELECT position, job_id, queue, message FROM {TABLE} WHERE problem IS NULL ORDER BY position LIMIT {AT_ONCE}"
REFUSE = f"UPDATE {TABLE} SET problem = ? WHERE position = ?"

_CREATE = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    position %s,
    job_id VARCHAR(36) NOT NULL UNIQUE,
    queue VARCHAR(80) NOT NULL,
    message %s NOT NULL,
    problem TEXT
)"""
_TYPES: dict[Dialect, tuple[str, str]] = {
    "sqlite": ("INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT"),
    "postgresql": ("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "TEXT"),
    "mysql": ("BIGINT AUTO_INCREMENT PRIMARY KEY", "LONGTEXT"),
}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Draft)


class Row(Struct, frozen=True):
    """A job in the table, in the order in which it was written."""

    position: int
    job_id: str
    queue: str
    message: str

    def draft(self) -> Draft:
        """Return its message. Raises InvalidRequest: somebody else wrote the row."""
        try:
            return _decoder.decode(self.message)
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"The row is no message: {error}.") from None


def create_statement(dialect: Dialect) -> str:
    """Return the statement that makes the table, for migrations."""
    return _CREATE % _TYPES[dialect]


def delete_statement(count: int) -> str:
    """Return the statement that deletes so many rows by their positions."""
    return f"DELETE FROM {TABLE} WHERE position IN ({', '.join('?' * count)})"


def values_of(request: Request, now: int) -> tuple[str, str, str]:
    """Return a job as the values of a row; its delay counts from now on, not from when it is relayed."""
    draft = request.message
    if draft.deliver_at is None and draft.delay_seconds is not None:
        draft = structs.replace(draft, deliver_at=now + round(draft.delay_seconds * 1000), delay_seconds=None)
    return request.job_id, request.queue, _encoder.encode(draft).decode()


def row_of(values: Sequence[Any]) -> Row:
    """Return a row as it was read."""
    return Row(int(values[0]), str(values[1]), str(values[2]), str(values[3]))
