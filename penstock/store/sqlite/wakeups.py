"""Wake-ups between the processes that share a database file: a datagram socket each, in a folder beside the file.

After a commit a process tells the others which queues may have something to receive. A wake-up is a hint: one that is
lost (a full buffer, a system without Unix sockets) costs waiting until the long poll ends, never a message.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

_LONGEST_PATH = 90
_MOST_QUEUES = 200
_MOST_BYTES = 1 << 16

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, int]).decode


class Wakeups:
    """This process's socket, and the way to the others'.

    Args:
        path: the database file.
        on_wakeup: told what another process says, on the event loop.
    """

    def __init__(self, path: Path, on_wakeup: Callable[[dict[str, int]], None]) -> None:
        self._on_wakeup = on_wakeup
        self._socket: socket.socket | None = None
        self._peers: list[str] = []
        self._listed_at = -1
        if not hasattr(socket, "AF_UNIX"):
            return
        self._folder = _folder_of(path)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own = str(self._folder / f"{os.getpid():x}-{os.urandom(3).hex()}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self._own)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def tell(self, wakeups: dict[str, int]) -> None:
        """Tell the other processes that something may be receivable in queues from instants on."""
        if self._socket is None or not self._find_peers():
            return
        for some in _chunks(wakeups):
            for peer in self._peers:
                try:
                    self._socket.sendto(_pack(some), peer)
                except (BlockingIOError, PermissionError):
                    continue
                except OSError:
                    # its process has gone without a word
                    with contextlib.suppress(OSError):
                        os.unlink(peer)

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
            with contextlib.suppress(OSError):
                os.unlink(self._own)
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _find_peers(self) -> bool:
        try:
            changed_at = os.stat(self._folder).st_mtime_ns
            if changed_at != self._listed_at:
                self._peers = [entry.path for entry in os.scandir(self._folder) if entry.path != self._own]
                self._listed_at = changed_at
        except FileNotFoundError:
            self._peers = []
        return bool(self._peers)

    def _read(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                said = self._socket.recv(_MOST_BYTES)
                with contextlib.suppress(msgspec.DecodeError):
                    self._on_wakeup(_unpack(said))


def _folder_of(path: Path) -> Path:
    """Return the folder of a database's sockets: beside it, or in the temporary folder where that path is too long."""
    beside = path.resolve().with_name(path.name + "-wakeups")
    if len(os.fsencode(beside)) <= _LONGEST_PATH - 20:
        return beside
    return Path(tempfile.gettempdir()) / f"penstock-{hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]}"


def _chunks(wakeups: dict[str, int]) -> list[dict[str, int]]:
    if len(wakeups) <= _MOST_QUEUES:
        return [wakeups]
    items = list(wakeups.items())
    return [dict(items[at : at + _MOST_QUEUES]) for at in range(0, len(items), _MOST_QUEUES)]
