"""Passwords as they are kept: scrypt with a salt of their own (RFC 7914), never as they are."""

import asyncio
import base64
import hmac
import os
from hashlib import scrypt

from penstock.core.errors import InvalidRequest

SHORTEST = 12
LONGEST = 256

COST = (1 << 15, 8, 3)
"""N, r and p: 32 MiB and some 0.3 s of one core (OWASP, "Password Storage Cheat Sheet")."""

_MOST_MEMORY_BYTES = 1 << 28
_AT_ONCE = 2
"""So many are computed at a time, or logins could take a server's memory."""


class Passwords:
    """Hashes passwords and knows them again, in threads."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobodys = ""

    async def kept(self, password: str) -> str:
        """Return what is kept of a password.

        Raises:
            InvalidRequest: it is too short or too long.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            raise InvalidRequest(f"A password has {SHORTEST} to {LONGEST} characters.", field="password")
        salt = os.urandom(16)
        async with self._turns:
            return await asyncio.to_thread(_hashed, password, salt, COST)

    async def is_right(self, password: str, kept: str | None) -> bool:
        """Return whether a password is the one that was kept; ``None``: nobody's, which takes as long to find out."""
        if len(password) > LONGEST:
            return False
        if kept is None and not self._nobodys:
            self._nobodys = await self.kept("x" * SHORTEST)
        known = kept or self._nobodys
        _, n, r, p, salt, _ = known.split("$")
        async with self._turns:
            hashed = await asyncio.to_thread(_hashed, password, base64.b64decode(salt), (int(n), int(r), int(p)))
        return hmac.compare_digest(hashed, known) and kept is not None


def _hashed(password: str, salt: bytes, cost: tuple[int, int, int]) -> str:
    n, r, p = cost
    code = scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=_MOST_MEMORY_BYTES, dklen=32
    )
    return "$".join(
        ("scrypt", str(n), str(r), str(p), base64.b64encode(salt).decode(), base64.b64encode(code).decode())
    )
