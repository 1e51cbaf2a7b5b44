"""Penstock's own REST API: the dialect a server speaks, and the requests a client makes of the same routes."""

from penstock.wire.rest.calls import Ask, ask, asking
from penstock.wire.rest.dialect import Rest
from penstock.wire.rest.problems import error_in

__all__ = ["Ask", "Rest", "ask", "asking", "error_in"]
