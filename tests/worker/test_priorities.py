"""Which job first: priorities of messages, and strict or weighted queues."""

from collections import Counter

from penstock.testing.jobs import AppUnderTest
from penstock.worker import App
from penstock.worker.engine.options import QueueShare, Turns


async def test_higher_priority_runs_first_and_equals_in_order(app: App, under_test: AppUnderTest) -> None:
    ran: list[str] = []

    @app.task(priority=5)
    async def step(name: str) -> None:
        ran.append(name)

    for name, priority in (("low", 0), ("a", None), ("b", None), ("high", 9)):
        await step.with_options(priority=priority).asend(name)
    await under_test.run_until_idle()
    assert ran == ["high", "a", "b", "low"]


def test_strict_queues_are_always_asked_in_their_order() -> None:
    turns = Turns((QueueShare("high"), QueueShare("low", 9)), is_strict=True)
    assert [turns.order() for _ in range(3)] == [["high", "low"]] * 3


def test_weighted_queues_are_asked_first_as_often_as_their_weight_says() -> None:
    turns = Turns((QueueShare("high", 6), QueueShare("default", 3), QueueShare("low", 1)), is_strict=False)
    firsts = [turns.order()[0] for _ in range(100)]
    assert Counter(firsts) == {"high": 60, "default": 30, "low": 10}
    assert "low" in firsts[:10]
