"""Lines: of the jobs of one ordered key that a worker holds, the first runs and the others stand behind it.

A store hands out what follows in a key together; so the order within a worker is kept here.
"""

import asyncio

from penstock.worker.engine.held import Held


class Lines:
    """The lines of all keys a worker holds jobs of."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], list[Held]] = {}
        self._turns: dict[Held, asyncio.Future[bool | None]] = {}
        self._is_dissolved = False

    @property
    def behind_count(self) -> int:
        """How many stand behind another one."""
        return len(self._turns)

    def join(self, held: Held) -> bool:
        """Stand at the end of the line of one's key; return whether that is behind another one."""
        line = self._lines.setdefault(_name(held), [])
        if line:
            self._turns[held] = asyncio.get_running_loop().create_future()
        line.append(held)
        return len(line) > 1

    async def turn(self, held: Held) -> bool | None:
        """Wait until those in front have left; return whether it is one's turn, or one should let go; ``None``: it was
        taken out of the line, and is no longer one's own."""
        waiting = self._turns.get(held)
        if waiting is None:
            return not self._is_dissolved
        try:
            return await waiting
        finally:
            self._turns.pop(held, None)

    def leave(self, held: Held, *, has_ended: bool) -> None:
        """Leave the line. The next one has its turn if this job has ended; if it comes back, all behind it let go."""
        if held.delivery.group_id is None:
            return
        line = self._lines.get(_name(held), [])
        if held not in line:
            return
        line.remove(held)
        if not line:
            del self._lines[_name(held)]
        elif not has_ended:
            self._let_go(line)
        else:
            self._tell(line[0], is_turn=not self._is_dissolved)

    def take_behind(self, held: Held) -> list[Held]:
        """Return those that stand behind a job, and take them out of the line; their ``turn`` is ``None``."""
        line = self._lines.get(_name(held), [held])
        behind, line[1:] = line[1:], []
        for each in behind:
            self._tell(each, is_turn=None)
        return behind

    def dissolve(self) -> None:
        """Let everybody go who stands behind another one, now and from now on."""
        self._is_dissolved = True
        for line in self._lines.values():
            self._let_go(line[1:])

    def _let_go(self, line: list[Held]) -> None:
        for held in line:
            self._tell(held, is_turn=False)

    def _tell(self, held: Held, *, is_turn: bool | None) -> None:
        waiting = self._turns.get(held)
        if waiting is not None and not waiting.done():
            waiting.set_result(is_turn)


def _name(held: Held) -> tuple[str, str]:
    return held.queue, held.delivery.group_id or ""
