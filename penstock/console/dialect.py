"""What the pages ask beside the REST API: questions that take several operations, and streams. All of it only looks.

Each is an address with query parameters, made from a type as REST makes them.
"""

from collections.abc import Callable
from typing import Any

from penstock.console.dead_letters import list_causes
from penstock.console.jobs import One, list_jobs, show_job
from penstock.console.jobs import Wanted as WantedJobs
from penstock.console.messages import Wanted, count_messages, list_messages
from penstock.console.sampling import Sampler
from penstock.console.schedules import Rule, WantedSchedules, list_schedules, show_occurrences
from penstock.console.streams import LiveQueue, Overview, live_queue, overview
from penstock.console.walking import Walk, step
from penstock.console.workflows import OneFlow, WantedFlows, list_blocked, list_flows, show_flow
from penstock.core.clock import Clock
from penstock.core.errors import PenstockError
from penstock.core.operations import DescribeQueue, ListQueues
from penstock.core.rights import Rights
from penstock.wire.http import Request, Response, Step
from penstock.wire.rest.problems import MethodNotAllowed, NotFound, refusal
from penstock.wire.rest.shapes import query_reader

MOUNT = "/console/api/"


class ConsoleDialect:
    """Answers what the pages ask.

    Args:
        sampler: has the figures.
        clock: tells how long a stream has been open.
    """

    def __init__(self, sampler: Sampler, clock: Clock) -> None:
        def live(asked: LiveQueue) -> Walk:
            yield DescribeQueue(asked.queue)  # may they?
            return live_queue(sampler, asked, clock)

        def live_overview(asked: Overview, rights: Rights) -> Walk:
            yield ListQueues(limit=1)
            return overview(sampler, asked, clock, rights)

        def jobs(asked: WantedJobs) -> Walk:
            return (list_blocked if asked.status == "blocked" else list_jobs)(asked, clock)

        self._routes: dict[str, Callable[[Request], Step]] = {
            "overview": _route_by_rights(Overview, live_overview),
            "queue": _route(LiveQueue, live),
            "messages": _route(Wanted, lambda asked: list_messages(asked, clock)),
            "count": _route(Wanted, lambda asked: count_messages(asked, clock)),
            "causes": _route(Wanted, list_causes),
            "jobs": _route(WantedJobs, jobs),
            "job": _route(One, show_job),
            "schedules": _route(WantedSchedules, list_schedules),
            "occurrences": _route(Rule, lambda asked: show_occurrences(asked, clock.now_ms())),
            "workflows": _route(WantedFlows, list_flows),
            "workflow": _route(OneFlow, show_flow),
        }

    def decode(self, request: Request) -> Step:
        route = self._routes.get(request.path.removeprefix(MOUNT))
        if route is None:
            raise NotFound(f"There is nothing at {request.path[:200]!r}.", hint="The console is at /console/.")
        if request.method != "GET":
            raise MethodNotAllowed(f"{request.method[:20]} is not understood here.", hint="Use GET.", allowed="GET")
        return route(request)

    def refuse(self, request: Request, error: PenstockError) -> Response:
        return refusal(error)


def _route(asked: type[Any], walk: Callable[[Any], Walk]) -> Callable[[Request], Step]:
    read = query_reader(asked, asked.__struct_fields__)
    return lambda request: step(walk(asked(**read(request.query))))


def _route_by_rights(asked: type[Any], walk: Callable[[Any, Rights], Walk]) -> Callable[[Request], Step]:
    """The same for what tells of many queues at once: only of those that may be seen."""
    read = query_reader(asked, asked.__struct_fields__)
    return lambda request: step(walk(asked(**read(request.query)), request.rights))
