"""The rules of a message's life."""

import pytest

from penstock.core.lifecycle import (
    LANES,
    first_visible_at,
    has_expired,
    is_spent,
    lane_of,
    own_expiry,
    refusal,
    state_of,
)
from penstock.core.messages import HIGHEST_PRIORITY, Attribute, Draft, State, size_of
from penstock.core.queues import QueueSettings, RedrivePolicy

NOW = 1_000_000


def test_a_message_is_ready_from_the_instant_it_is_visible() -> None:
    assert state_of(NOW, True, NOW) is state_of(NOW, False, NOW) is State.READY
    assert state_of(NOW + 1, True, NOW) is State.IN_FLIGHT
    assert state_of(NOW + 1, False, NOW) is State.DELAYED


@pytest.mark.parametrize(
    ("draft", "queue_delay", "expected"),
    [
        (Draft("a"), 0, NOW),
        (Draft("a"), 2, NOW + 2000),
        (Draft("a", delay_seconds=0), 2, NOW),
        (Draft("a", delay_seconds=0.0004), 2, NOW),
        (Draft("a", delay_seconds=1.5), 2, NOW + 1500),
        (Draft("a", deliver_at=NOW + 7), 2, NOW + 7),
        (Draft("a", deliver_at=NOW + 7, delay_seconds=5), 2, NOW + 7),
        (Draft("a", deliver_at=NOW - 7), 2, NOW),
    ],
)
def test_when_a_message_may_first_be_received(draft: Draft, queue_delay: float, expected: int) -> None:
    assert first_visible_at(QueueSettings(delay_seconds=queue_delay), draft, NOW) == expected


def test_a_time_to_live_is_counted_from_sending() -> None:
    assert own_expiry(Draft("a"), NOW) is None
    assert own_expiry(Draft("a", time_to_live_seconds=0), NOW) == NOW
    assert own_expiry(Draft("a", time_to_live_seconds=1.5), NOW) == NOW + 1500


def test_a_message_expires_by_its_own_instant_or_by_retention_whichever_is_first() -> None:
    settings = QueueSettings(retention_seconds=10)
    assert not has_expired(settings, NOW, None, NOW + 9_999)
    assert has_expired(settings, NOW, None, NOW + 10_000)
    assert has_expired(settings, NOW, NOW + 5, NOW + 5)
    assert not has_expired(settings, NOW, NOW + 5, NOW + 4)
    assert has_expired(settings, NOW, NOW + 20_000, NOW + 10_000)


def test_a_message_is_spent_when_it_has_had_all_its_deliveries() -> None:
    settings = QueueSettings(redrive=RedrivePolicy("dead", 3))
    assert [is_spent(settings, count) for count in (0, 2, 3, 4)] == [False, False, True, True]
    assert not is_spent(QueueSettings(), 1000)


def test_higher_priorities_have_lower_lanes() -> None:
    lanes = [lane_of(priority) for priority in range(HIGHEST_PRIORITY + 1)]
    assert lanes == sorted(lanes, reverse=True)
    assert (min(lanes), max(lanes)) == (1, LANES - 1)


def test_what_comes_back_goes_before_its_own_priority_and_behind_the_next() -> None:
    assert lane_of(3, comes_back=True) < lane_of(3)
    assert lane_of(4) < lane_of(3, comes_back=True)


@pytest.mark.parametrize(
    ("body", "maps", "size"),
    [
        ("", (), 0),
        ("abc", ({}, {}), 3),
        ("ä€🐟", (), 2 + 3 + 4),
        ("b", ({"nä": Attribute("String", "vä")},), 1 + 3 + 6 + 3),
        (
            "b",
            ({"n": Attribute("Binary", None, b"\0\1\2")}, {"m": Attribute("Number", "12")}),
            1 + 1 + 6 + 3 + 1 + 6 + 2,
        ),
        ("", ({"n": Attribute()},), 1 + 6),
    ],
)
def test_size_counts_bytes_of_body_names_types_and_values(body: str, maps: tuple, size: int) -> None:  # type: ignore[type-arg]
    assert size_of(body, *maps) == size


def test_exactly_the_limit_is_accepted() -> None:
    settings = QueueSettings(max_message_bytes=4)
    assert refusal(settings, Draft("ää")) is None
    refused = refusal(settings, Draft("äää"))
    assert refused is not None
    assert (refused.code, refused.problem.field) == ("message_too_large", "body")
    assert "6 bytes" in str(refused)


def test_system_attributes_do_not_count_towards_the_limit() -> None:
    draft = Draft("abcd", system_attributes={"AWSTraceHeader": Attribute(string_value="x" * 100)})
    assert refusal(QueueSettings(max_message_bytes=4), draft) is None


def test_what_a_fifo_queue_wants() -> None:
    fifo = QueueSettings(is_fifo=True)
    by_content = QueueSettings(is_fifo=True, content_based_deduplication=True)
    codes = [
        error.code if error else None
        for error in (
            refusal(fifo, Draft("a")),
            refusal(fifo, Draft("a", group_id="g")),
            refusal(fifo, Draft("a", group_id="g", deduplication_id="d")),
            refusal(by_content, Draft("a", group_id="g")),
            refusal(by_content, Draft("a", deduplication_id="d")),
            refusal(QueueSettings(group_order="strict"), Draft("a")),
        )
    ]
    assert codes == ["group_required", "deduplication_id_required", None, None, "group_required", None]
