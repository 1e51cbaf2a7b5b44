"""Queues made and changed: what their settings are said to be is worked out here, and kept as it stands there."""

from penstock.core.queues import (
    FIXED_AT_CREATION,
    QueueChanges,
    QueueDescription,
    changed,
    first_difference,
    new_settings,
)
from penstock.core.refusals import queue_conflict, queue_deleted_recently, setting_is_fixed
from penstock.store.redis.calls import Asking
from penstock.store.redis.outcomes import described, found
from penstock.store.redis.settings import dead_letter_queue_of, decode_settings, encode_settings, pack_facts


async def create_queue(
    calls: Asking, name: str, changes: QueueChanges, name_rest_ms: int, now: int
) -> tuple[QueueDescription, bool]:
    """Make a queue, or find it."""
    settings = new_settings(changes)
    answer = await calls.submit(
        "create_queue",
        now,
        name,
        name_rest_ms,
        encode_settings(settings),
        pack_facts(settings),
        dead_letter_queue_of(settings),
    )
    if answer == b"resting":
        raise queue_deleted_recently(name)
    queue = described(answer[1])
    if answer[0] == b"created":
        return queue, True
    different = first_difference(queue.settings, changes)
    if different is not None:
        raise queue_conflict(name, different)
    return queue, False


async def update_queue(calls: Asking, name: str, changes: QueueChanges, now: int) -> QueueDescription:
    """Change a queue's settings, which may be changed by others at the same time."""
    while True:
        answer = found(await calls.submit("describe_queue", now, name), name)
        expected = decode_settings(answer[0])
        settings = changed(expected, changes)
        for fixed in FIXED_AT_CREATION:
            if getattr(settings, fixed) != getattr(expected, fixed):
                raise setting_is_fixed(fixed)
        answer = await calls.submit(
            "update_queue",
            now,
            name,
            answer[0],
            encode_settings(settings),
            pack_facts(settings),
            dead_letter_queue_of(settings),
            int(settings.group_max_in_flight != expected.group_max_in_flight),
        )
        if answer != b"changed":
            return described(found(answer, name))
