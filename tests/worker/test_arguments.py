"""Arguments: of every kind that JSON carries, checked when a job is sent and again when it runs."""

import dataclasses
import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

from penstock.core.errors import MessageTooLarge
from penstock.testing.jobs import AppUnderTest
from penstock.worker import App, JobFailed, Status
from penstock.worker.arguments import Arguments, TaskInvalid, WrongArguments
from penstock.worker.queues import MOST_BYTES

if TYPE_CHECKING:
    from fractions import Fraction


@dataclasses.dataclass
class Line:
    sku: str
    count: int = 1


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Order(msgspec.Struct):
    number: int
    lines: list[Line]
    placed_at: datetime | None = None


class Point(NamedTuple):
    x: int
    y: int


class Address(TypedDict, total=False):
    street: str


class Customer(pydantic.BaseModel):
    name: str
    born: date


KINDS: list[tuple[Any, Any]] = [
    (int, 2**70),
    (float, 1.5),
    (str, "ä\n\x00🙂"),
    (bool, True),
    (bytes, b"\x00\xff"),
    (None, None),
    (datetime, datetime(2026, 11, 22, 10, 30, 0, 123456, tzinfo=UTC)),
    (datetime, datetime(2026, 11, 22, 10, 30)),
    (date, date(2026, 11, 22)),
    (time, time(10, 30)),
    (timedelta, timedelta(hours=1.5)),
    (UUID, UUID(int=7)),
    (Decimal, Decimal("1.10")),
    (Colour, Colour.RED),
    (Level, Level.HIGH),
    (Line, Line("a", 2)),
    (Order, Order(1, [Line("a")], datetime(2026, 11, 22, tzinfo=UTC))),
    (Point, Point(1, 2)),
    (Address, {"street": "Elm"}),
    (Customer, Customer(name="Ada", born=date(1815, 12, 10))),
    (list[Customer], [Customer(name="Ada", born=date(1815, 12, 10))]),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, str], (1, "a")),
    (dict[str, Line], {"a": Line("b")}),
    (dict[int, str], {1: "a"}),
    (int | None, None),
    (Literal["a", "b"], "b"),
    (list[Any], [1, "a", None, {"b": [2.5]}]),
]


@pytest.mark.parametrize(("kind", "value"), KINDS, ids=lambda each: getattr(each, "__name__", str(each))[:20])
def test_a_value_of_every_kind_arrives_as_what_it_was(kind: Any, value: Any) -> None:
    def task(value):  # type: ignore[no-untyped-def]
        return value

    task.__annotations__ = {"value": kind, "return": kind}
    arguments = Arguments(task, "task")
    given, _ = arguments.encode((value,), {})
    args, kwargs = arguments.decode(given)
    arrived = task(*args, **kwargs)
    assert arrived == value
    assert type(arrived) is type(value)


def _plain(a: int, b: int = 2) -> Any:
    return a, b


def _all_kinds(a: int, /, b: int = 2, *rest: int, c: int, d: int = 4, **named: int) -> Any:
    return a, b, rest, c, d, named


def _only_positional(a: int = 1, b: int = 2, /) -> Any:
    return a, b


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (_plain, (1,), {}),
        (_plain, (), {"b": 3, "a": 1}),
        (_all_kinds, (1,), {"c": 3}),
        (_all_kinds, (1, 5, 6, 7), {"c": 3, "e": 9, "a": 10}),
        (_only_positional, (), {}),
        (_only_positional, (5,), {}),
        (_only_positional, (5, 6), {}),
    ],
)
def test_parameters_of_every_kind_are_filled_as_in_a_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    arguments = Arguments(function, "task")
    given, _ = arguments.encode(args, kwargs)
    decoded = arguments.decode(given)
    assert function(*decoded[0], **decoded[1]) == function(*args, **kwargs)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "1"),
        (int, 1.5),
        (int, True),
        (float, float("nan")),
        (str, 1),
        (datetime, "yesterday"),
        (Colour, "blue"),
        (Line, {"count": 1}),
        (Customer, {"name": "Ada"}),
        (Any, object()),
        (Any, lambda: None),
    ],
)
def test_a_value_of_another_kind_is_refused_when_it_is_sent(kind: Any, value: Any) -> None:
    def task(value):  # type: ignore[no-untyped-def]
        raise AssertionError

    task.__annotations__ = {"value": kind}
    with pytest.raises(WrongArguments, match="Argument value of task") as refused:
        Arguments(task, "task").encode((value,), {})
    assert refused.value.problem.field == "value"
    assert "task(" in (refused.value.problem.hint or "")


def test_a_default_is_taken_when_the_job_runs_and_is_not_sent() -> None:
    given, _ = Arguments(_plain, "task").encode((1,), {})
    assert list(given) == ["a"]


def test_an_annotation_that_cannot_be_found_is_told_when_a_job_is_sent(app: App) -> None:
    def odd(value: "Fraction") -> None: ...

    task = app.task(odd)
    with pytest.raises(TaskInvalid, match="Fraction"):
        task.request((1,), {})


def test_an_annotation_that_json_cannot_carry_is_told(app: App) -> None:
    def odd(value: list[int] | set[int]) -> None: ...

    with pytest.raises(TaskInvalid, match="JSON"):
        app.task(odd).request(([],), {})


async def test_rich_arguments_and_results_go_through_the_store(app: App, under_test: AppUnderTest) -> None:
    @app.task
    async def total(order: Order, factor: Decimal, customer: Customer | None = None) -> tuple[Order, Decimal]:
        assert customer is not None
        assert customer.born.year == 1815
        return order, factor * sum(line.count for line in order.lines)

    order = Order(1, [Line("a", 2), Line("b")])
    job = await total.asend(order, Decimal("1.5"), customer=Customer(name="Ada", born=date(1815, 12, 10)))
    await under_test.run_until_idle()
    assert await job.result(0) == (order, Decimal("4.5"))


async def test_arguments_that_do_not_fit_any_more_fail_the_job_at_once(app: App, under_test: AppUnderTest) -> None:
    @app.task(name="renamed")
    def before(count: int) -> None: ...

    job = await before.asend(1)
    del app.tasks["renamed"]

    @app.task(name="renamed")
    def after(number: int) -> None: ...

    await under_test.run_until_idle()
    assert await job.status() is Status.FAILED
    with pytest.raises(JobFailed, match="no parameter count"):
        await job.result(0)


async def test_arguments_that_are_too_large_are_refused(app: App, under_test: AppUnderTest) -> None:
    @app.task
    def read(text: str) -> int:
        return len(text)

    with pytest.raises(MessageTooLarge):
        await read.asend("x" * (MOST_BYTES + 1))
    job = await read.asend("x" * 1_000_000)
    await under_test.run_until_idle()
    assert await job.result(0) == 1_000_000
