"""How messages come from another shard and go there."""

from collections.abc import Sequence

from penstock.core.effects import Effects, Record
from penstock.core.messages import MessageView, State, as_draft
from penstock.store.memory.rows import Row
from penstock.store.memory.shelf import Shelf


def adopt(
    shelf: Shelf, queue_name: str, messages: Sequence[MessageView], marks: Sequence[str], expire_at: int, now: int
) -> None:
    """Keep messages as they are, unless they were adopted before."""
    queue = shelf.queue(queue_name)
    for message, mark in zip(messages, marks, strict=True):
        if shelf.record(mark, now) is not None or message.message_id in shelf.messages:
            continue
        shelf.put_records((Record(mark, b"", expires_at=expire_at),), now)
        row = Row(0, message.message_id, as_draft(message), message.sent_at, message.visible_at, message.expires_at)
        row.receive_count = row.carried_count = message.receive_count
        row.first_received_at = message.first_received_at
        row.dead_letter_source = message.dead_letter_source
        shelf.keep(queue, row, now)


def let_go(shelf: Shelf, queue_name: str, message_ids: Sequence[str], now: int) -> None:
    """Forget messages of a queue that nobody holds."""
    for message_id in message_ids:
        if message_id in shelf.messages:
            queue, row = shelf.messages[message_id]
            if queue.name == queue_name and queue.view(row, now).state is not State.IN_FLIGHT:
                shelf.forget(queue, row, now)


def exchange(shelf: Shelf, queue_name: str, message_id: str, effects: Effects, now: int) -> bool:
    """Forget a message that nobody holds, and let effects happen."""
    if message_id not in shelf.messages:
        return False
    queue, row = shelf.messages[message_id]
    if queue.name != queue_name or queue.view(row, now).state is State.IN_FLIGHT:
        return False
    refused = shelf.refusal_of(effects, now)
    if refused is not None:
        raise refused
    shelf.forget(queue, row, now)
    shelf.apply(effects, now)
    return True
