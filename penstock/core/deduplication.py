"""What makes two messages the same (SQS developer guide, "Using the message deduplication ID")."""

import hashlib

from penstock.core.messages import Draft
from penstock.core.queues import QueueSettings

ATTEMPT_WINDOW_MS = 300_000
"""How long a receive attempt id is remembered (SQS API reference, ``ReceiveRequestAttemptId``)."""


def deduplication_key(settings: QueueSettings, draft: Draft) -> tuple[str, str] | None:
    """Return what a message is deduplicated by, as (scope, id), or ``None`` when it is not deduplicated.

    The scope is the message group where the queue deduplicates per group, else the empty text.
    """
    deduplication_id = effective_deduplication_id(settings, draft)
    if deduplication_id is None:
        return None
    scope = draft.group_id or "" if settings.deduplicate_per_group else ""
    return scope, deduplication_id


def effective_deduplication_id(settings: QueueSettings, draft: Draft) -> str | None:
    """Return the message's own deduplication id, else one from its body where the queue wants that, else ``None``."""
    if draft.deduplication_id is None and settings.content_based_deduplication:
        return hashlib.sha256(draft.body.encode()).hexdigest()
    return draft.deduplication_id
