"""What the processes that serve one port tell each other: their figures, so that a scrape of any tells of all.

Each writes its own to a file in a folder they share, once a second, and reads the others' when it is asked. A file that
is replaced in one step is never read half; what a process did in its last second is not told if it dies.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

TELL_SECONDS = 1.0


class Family(Struct, frozen=True):
    """Samples that belong together, each with its name, labels and value; ``kind`` as Prometheus has it."""

    name: str
    said: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


class Figures(Struct, frozen=True):
    """What one process has counted. ``index``: which it is; one that takes the place of another has its index."""

    index: int
    families: list[Family]


_decode = msgspec.msgpack.Decoder(Figures).decode
_encode = msgspec.msgpack.Encoder().encode


class Siblings:
    """The other processes of this port.

    Args:
        folder: where all of them write.
        index: which this one is.
    """

    def __init__(self, folder: Path, index: int) -> None:
        self.index = index
        self._folder = folder
        self._telling: asyncio.Task[None] | None = None

    def start(self, figures: Callable[[], Figures]) -> None:
        """Tell the others of this process from now on."""
        self._telling = asyncio.get_running_loop().create_task(self._tell(figures))

    def stop(self) -> None:
        """Tell no more."""
        if self._telling is not None:
            self._telling.cancel()

    def others(self) -> list[Figures]:
        """Return what the others have told last, in their order."""
        found = []
        for path in self._folder.glob("*.figures"):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                figures = _decode(path.read_bytes())
                if figures.index != self.index:
                    found.append(figures)
        return sorted(found, key=lambda each: each.index)

    async def _tell(self, figures: Callable[[], Figures]) -> None:
        path = self._folder / f"{self.index}.figures"
        unfinished = path.with_suffix(".writing")
        while True:
            with contextlib.suppress(OSError):
                unfinished.write_bytes(_encode(figures()))
                os.replace(unfinished, path)
            await asyncio.sleep(TELL_SECONDS)
