"""What makes two messages the same."""

import hashlib

from penstock.core.deduplication import deduplication_key, effective_deduplication_id
from penstock.core.messages import Draft
from penstock.core.queues import QueueSettings

PLAIN = QueueSettings()
BY_CONTENT = QueueSettings(content_based_deduplication=True)
PER_GROUP = QueueSettings(deduplicate_per_group=True)


def test_a_message_without_an_id_is_not_deduplicated() -> None:
    assert deduplication_key(PLAIN, Draft("a", group_id="g")) is None
    assert effective_deduplication_id(PLAIN, Draft("a")) is None


def test_content_stands_in_for_an_id() -> None:
    digest = hashlib.sha256("ä".encode()).hexdigest()
    assert effective_deduplication_id(BY_CONTENT, Draft("ä")) == digest
    assert deduplication_key(BY_CONTENT, Draft("ä", group_id="g")) == ("", digest)


def test_an_id_wins_over_content() -> None:
    assert effective_deduplication_id(BY_CONTENT, Draft("a", deduplication_id="d")) == "d"


def test_an_id_counts_in_the_queue_or_in_the_group() -> None:
    draft = Draft("a", group_id="g", deduplication_id="d")
    assert deduplication_key(PLAIN, draft) == ("", "d")
    assert deduplication_key(PER_GROUP, draft) == ("g", "d")
    assert deduplication_key(PER_GROUP, Draft("a", deduplication_id="d")) == ("", "d")
