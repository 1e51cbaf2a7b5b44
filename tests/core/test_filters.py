"""Filters on values that the conformance suite does not reach."""

import pytest

from penstock.core.filters import MessageFilter, matches
from penstock.core.messages import MessageView, State


def view(body: str) -> MessageView:
    return MessageView("id", "q", State.READY, body, 5, 5, 1, receive_count=2)


def test_no_condition_lets_everything_through() -> None:
    assert matches(MessageFilter(), view("anything"))


@pytest.mark.parametrize(
    ("body", "path", "value", "expected"),
    [
        ('{"a": {"b": [10, 20]}}', "a.b.1", "20", True),
        ('{"a": {"b": [10, 20]}}', "a.b.-1", "20", True),
        ('{"a": {"b": [10, 20]}}', "a.b.x", None, False),
        ('{"a": 1}', "a.b", None, False),
        ('{"a": "text"}', "a.0", None, False),
        ('{"a": null}', "a", None, True),
        ('{"a": null}', "a.b", None, False),
        ('{"a": false}', "a", "false", True),
        ('{"a": 1}', "a", "1.0", True),
        ('{"a": 1}', "a", '"1"', False),
        ('{"a": {"x": 1, "y": 2}}', "a", '{"y": 2, "x": 1}', True),
        ('{"1": "one"}', "1", '"one"', True),
        ("[1, 2]", "$", "[1, 2]", True),
        ('{"a": 1}', "$.a", "1", True),
        ("not json", "a", None, False),
        ("", "a", None, False),
        ("[" * 100_000, "0", None, False),
        ("1" * 10_000, "a", None, False),
        ('{"a": 1}', "a", "not json", False),
        ('{"a": true}', "a", "1", False),
        ('{"a": 1}', "a", "true", False),
        ('{"a": 1, "a": 2}', "a", "2", True),
        ('{"a": 1} x', "a", "1", False),
        (' {"a" : [ {"b": "x"} ] } ', "a.0.b", '"x"', True),
        ('{"\\u0061": "\\u0078"}', "a", '"x"', True),
        ('{"a": 1, "half": "\\ud800"}', "a", "1", True),
        ('{"half": "\ud800", "a": 1}', "a", "1", True),
        ('{"a": 1e400, "b": 1}', "b", "1", True),
        ('{"a": 123456789012345678901234567890}', "a", "123456789012345678901234567890", True),
        ('{"a.b": 1, "value": 2}', "value", "2", True),
        ('{"a": 1}', "", None, True),
        ("broken", "", None, False),
        ('{"a": [1]}', "a.1", None, False),
        ('{"a": {"b": 1}}', "a.b.c", None, False),
    ],
)
def test_a_path_into_json(body: str, path: str, value: str | None, expected: bool) -> None:
    assert matches(MessageFilter(json_path=path, json_value=value), view(body)) is expected


def test_bounds_of_time_are_exclusive() -> None:
    assert not matches(MessageFilter(sent_before=5), view(""))
    assert not matches(MessageFilter(sent_after=5), view(""))
    assert matches(MessageFilter(sent_before=6, sent_after=4), view(""))


def test_a_least_receive_count_includes_itself() -> None:
    assert matches(MessageFilter(min_receive_count=2), view(""))
    assert not matches(MessageFilter(min_receive_count=3), view(""))
