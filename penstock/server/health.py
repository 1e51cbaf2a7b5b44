"""Whether this process lives, and whether it may be sent requests."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from penstock.core.errors import PenstockError
from penstock.wire.http import Request, Response

CHECK_LASTS_SECONDS = 2
CHECK_MAY_TAKE_SECONDS = 5

_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_LIVE = Response(200, _HEADERS, b'{"status":"live"}\n')


class Reason(Struct, frozen=True, omit_defaults=True):
    """Why the server is not ready."""

    code: str
    message: str
    hint: str | None = None


class Readiness(Struct, frozen=True):
    """The answer of ``/health/ready``: ``ready`` with no reasons, or ``not_ready``."""

    status: str
    reasons: tuple[Reason, ...] = ()


class Health:
    """Answers health checks.

    Args:
        check_store: raises PenstockError when the store cannot be written.
    """

    def __init__(self, check_store: Callable[[], Awaitable[None]]) -> None:
        self._check_store = check_store
        self._checked_at = float("-inf")
        self._wrong: Reason | None = None
        self._checking = asyncio.Lock()
        self.is_draining = False

    async def live(self, request: Request) -> Response:
        """The process answers; nothing else is asked."""
        return _LIVE

    async def ready(self, request: Request) -> Response:
        """The store has lately been written, and the server is not stopping."""
        reasons = []
        if self.is_draining:
            reasons.append(Reason("draining", "The server is stopping.", "Send requests to another."))
        else:
            wrong = await self._store_is_wrong()
            if wrong is not None:
                reasons.append(wrong)
        answer = Readiness("not_ready" if reasons else "ready", tuple(reasons))
        return Response(503 if reasons else 200, _HEADERS, msgspec.json.encode(answer) + b"\n")

    async def _store_is_wrong(self) -> Reason | None:
        loop = asyncio.get_running_loop()
        async with self._checking:
            if loop.time() - self._checked_at >= CHECK_LASTS_SECONDS:
                self._wrong = await self._look()
                self._checked_at = loop.time()
            return self._wrong

    async def _look(self) -> Reason | None:
        try:
            async with asyncio.timeout(CHECK_MAY_TAKE_SECONDS):
                await self._check_store()
        except PenstockError as error:
            return Reason(error.problem.code, error.problem.message, error.problem.hint)
        except TimeoutError:
            return Reason(
                "store_slow",
                f"The store did not answer within {CHECK_MAY_TAKE_SECONDS} s.",
                "Look at the disk: its load, and the space left.",
            )
        return None
