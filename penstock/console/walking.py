"""Questions that take several operations: a generator asks for one after the other, the server performs each.

So every operation passes the same checks of access as if it had come alone.
"""

from collections.abc import Generator
from typing import Any

from penstock.core.operations import Operation
from penstock.wire.http import Call, Response, Step

Walk = Generator[Operation[Any], Any, Response]
"""Yields operations, is sent their replies, and returns the response."""


def step(walk: Walk, reply: Any = None) -> Step:
    """Return the next step of a walk."""
    try:
        operation = walk.send(reply)
    except StopIteration as end:
        response: Response = end.value
        return response
    return Call(operation, lambda answer: step(walk, answer))
