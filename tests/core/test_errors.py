"""Errors: a stable code each, and the way back from a problem to the error."""

import pytest

from penstock.core.errors import PenstockError, Problem, QueueNotFound, error_from, error_types
from penstock.core.operations import Operation, operation_types
from penstock.core.refusals import move_conflict, move_not_found, purge_in_progress, queue_conflict, queue_not_found

KINDS = tuple(kind for kind in error_types().values() if kind.__module__ == "penstock.core.errors")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_an_error_comes_back_from_its_problem(kind: type[PenstockError]) -> None:
    error = kind("What happened.", hint="What to do.", field="what")
    again = error_from(error.problem)
    assert type(again) is kind
    assert again.problem == error.problem == Problem(kind.code, "What happened.", "What to do.", "what")
    assert str(again) == "What happened."


def test_codes_are_unique_and_stable() -> None:
    assert sorted(kind.code for kind in KINDS) == [
        "access_denied",
        "deduplication_id_required",
        "group_required",
        "guard_failed",
        "internal_error",
        "invalid_request",
        "lease_lost",
        "lease_too_long",
        "message_too_large",
        "move_conflict",
        "move_not_found",
        "not_authenticated",
        "purge_in_progress",
        "queue_conflict",
        "queue_deleted_recently",
        "queue_not_found",
        "receipt_handle_invalid",
        "store_damaged",
        "store_too_new",
        "store_unavailable",
    ]


def test_an_unknown_code_is_an_internal_error() -> None:
    error = error_from(Problem("of_the_future", "Something.", "Hint."))
    assert type(error) is PenstockError
    assert (str(error), error.problem.hint) == ("Something.", "Hint.")


def test_whose_fault_it_is() -> None:
    assert {kind.code for kind in KINDS if kind.fault == "server"} == {
        "internal_error",
        "store_damaged",
        "store_too_new",
        "store_unavailable",
    }


def test_refusals_name_the_field_and_hint() -> None:
    assert type(queue_not_found("q")) is QueueNotFound
    assert queue_not_found("q").problem.field == "queue"
    assert queue_conflict("q", "delay_seconds").problem.field == "delay_seconds"
    for error in (queue_not_found("q"), queue_conflict("q", "x"), purge_in_progress("q"), move_conflict("q")):
        assert error.problem.hint
    assert "m" in str(move_not_found("m"))


def test_every_operation_is_listed_once() -> None:
    names = [kind.__name__ for kind in operation_types()]
    assert len(names) == len(set(names)) >= 27
    assert all(issubclass(kind, Operation) for kind in operation_types())
