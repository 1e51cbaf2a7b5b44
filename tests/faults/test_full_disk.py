"""A disk without room: what cannot be kept is not acknowledged, what was acknowledged stays, and room makes it work again.

The disk is a limit on the size of files that the server process may write (RLIMIT_FSIZE, with its signal ignored: the
write fails). The test raises the limit from outside to make room.
"""

import resource
import signal
import sys
from pathlib import Path

import pytest

from tests.faults.consistency import check_consistency
from tests.faults.server_process import ServerProcess
from tests.faults.sqs_connection import Refused, SqsConnection, queue_url

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of a running process: Linux")

_ROOM_BYTES = 3 << 20
_BODY = "x" * 20_000
_MOST_SENDS = 1000


def _little_room() -> None:
    # Python ignores SIGXFSZ, and passes that on
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM_BYTES, resource.RLIM_INFINITY))
