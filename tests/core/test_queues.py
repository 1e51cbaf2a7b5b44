"""How settings come about and change."""

import pytest
from msgspec import UNSET

from penstock.core.queues import (
    QUEUE_NAME,
    QueueChanges,
    QueueSettings,
    RedrivePolicy,
    changed,
    first_difference,
    new_settings,
)


def test_nothing_named_changes_nothing() -> None:
    settings = QueueSettings(delay_seconds=3, tags={"a": "1"})
    assert changed(settings, QueueChanges()) is settings


def test_what_is_named_is_changed_even_to_nothing() -> None:
    settings = QueueSettings(redrive=RedrivePolicy("dead", 3), max_in_flight=5, delay_seconds=3)
    after = changed(settings, QueueChanges(redrive=None, max_in_flight=None, delay_seconds=0))
    assert after == QueueSettings()


def test_tags_and_edge_attributes_are_merged() -> None:
    settings = QueueSettings(tags={"a": "1", "b": "2"}, edge_attributes={"x": "1"})
    after = changed(settings, QueueChanges(tags={"a": None, "c": "3", "d": None}, edge_attributes={"x": "2"}))
    assert (after.tags, after.edge_attributes) == ({"b": "2", "c": "3"}, {"x": "2"})
    assert settings.tags == {"a": "1", "b": "2"}


def test_every_setting_can_be_changed() -> None:
    assert set(QueueChanges.__struct_fields__) == set(QueueSettings.__struct_fields__)
    assert all(getattr(QueueChanges(), field) is UNSET for field in QueueChanges.__struct_fields__)


def test_a_new_queue_has_no_tag_of_nothing() -> None:
    assert new_settings(QueueChanges(tags={"a": None, "b": "1"})).tags == {"b": "1"}


def test_fifo_queues_order_strictly_and_others_as_named() -> None:
    assert new_settings(QueueChanges(is_fifo=True)).group_order == "strict"
    assert new_settings(QueueChanges(group_order="strict")).group_order == "strict"
    assert new_settings(QueueChanges()).group_order == "fair"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (QueueChanges(), None),
        (QueueChanges(delay_seconds=3), None),
        (QueueChanges(delay_seconds=3.0), None),
        (QueueChanges(delay_seconds=4), "delay_seconds"),
        (QueueChanges(delay_seconds=4, is_fifo=True), "is_fifo"),
        (QueueChanges(tags={"a": "2"}), None),
        (QueueChanges(edge_attributes={"x": "1"}), None),
        (QueueChanges(edge_attributes={"x": "2"}), "edge_attributes"),
        (QueueChanges(edge_attributes={"y": None}), None),
        (QueueChanges(redrive=RedrivePolicy("dead", 3)), None),
        (QueueChanges(redrive=None), "redrive"),
    ],
)
def test_the_first_named_setting_that_differs_is_told(changes: QueueChanges, expected: str | None) -> None:
    settings = QueueSettings(
        delay_seconds=3, tags={"a": "1"}, edge_attributes={"x": "1"}, redrive=RedrivePolicy("dead", 3)
    )
    assert first_difference(settings, changes) == expected


@pytest.mark.parametrize("name", ["a", "A-b_c.d", "a" * 80, "eu-west-1/123456789012/q.fifo"])
def test_good_names(name: str) -> None:
    assert QUEUE_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a" * 81, "a b", "a/b", "/a", "a//b", "a/b/c/d", "q\n", "ü", "a:b"])
def test_bad_names(name: str) -> None:
    assert not QUEUE_NAME.fullmatch(name)
