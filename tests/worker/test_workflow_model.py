"""Random graphs with random failures and rules, against a model of a few lines; and what a retry makes of them."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.worker import Status
from tests.worker.test_workflow_faults import _world

RULES = ("skip", "run", "wait")


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[list[int], str, bool]]:
    """Return nodes: which earlier ones each comes after, its rule, and whether it fails."""
    size = draw(st.integers(1, 9))
    return [
        (
            sorted(draw(st.sets(st.integers(0, at - 1), max_size=3))) if at else [],
            draw(st.sampled_from(RULES)),
            draw(st.integers(0, 3)) == 0,
        )
        for at in range(size)
    ]


def expected(graph: list[tuple[list[int], str, bool]]) -> list[Status]:
    """Return the statuses in which everything comes to rest."""
    statuses: list[Status] = []
    for after, rule, fails in graph:
        before = [statuses[at] for at in after]
        succeeded = all(each is Status.SUCCEEDED for each in before)
        if Status.BLOCKED in before or (rule == "wait" and not succeeded):
            statuses.append(Status.BLOCKED)
        elif rule == "skip" and not succeeded:
            statuses.append(Status.CANCELLED)
        else:
            statuses.append(Status.FAILED if fails else Status.SUCCEEDED)
    return statuses


@settings(max_examples=60, deadline=None)
@given(graphs())
async def test_any_graph_comes_to_rest_as_the_model_says(graph: list[tuple[list[int], str, bool]]) -> None:
    context, world = await _world()
    try:
        flow = world.app.workflow("random")
        for at, (after, rule, _) in enumerate(graph):
            flow.add(world.step, str(at), name=str(at), after=[str(each) for each in after], on_failure=rule)  # type: ignore[call-overload]
        world.failing = {str(at) for at, (_, _, fails) in enumerate(graph) if fails}
        run = await flow.asend()
        await world.under_test.run_until_idle(jumps=True)
        view = await run.look()
        wanted = expected(graph)
        assert [view.nodes[str(at)].status for at in range(len(graph))] == wanted
        ran = [str(at) for at, status in enumerate(wanted) if status in (Status.SUCCEEDED, Status.FAILED)]
        assert world.ran == Counter(ran)
        world.failing, world.ran = set(), Counter()
        again = [at for at, status in enumerate(wanted) if status in (Status.FAILED, Status.CANCELLED)]
        assert await run.retry() == len(again)
        await world.under_test.run_until_idle(jumps=True)
        assert await run.status() is Status.SUCCEEDED
        left = [str(at) for at, status in enumerate(wanted) if status is not Status.SUCCEEDED]
        assert world.ran == Counter(left)
    finally:
        await context.__aexit__(None, None, None)
