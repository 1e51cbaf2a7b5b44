"""An exception from outside arrives in the call it is meant for, and nowhere else."""

import sys
import threading
import time
from collections import Counter
from random import Random

import pytest

from penstock.worker.engine.interrupting import Interruptible
from penstock.worker.outcomes import Cancelled, TimeLimitExceeded


def busy(seconds: float) -> str:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    return "done"


def interrupted(call: Interruptible, seconds: float, after_seconds: float) -> BaseException | str:
    """Return what came of a call that is interrupted at some moment."""
    timer = threading.Timer(after_seconds, call.interrupt, (TimeLimitExceeded,))
    timer.start()
    try:
        return call.run(lambda: busy(seconds))
    except BaseException as error:
        return error
    finally:
        timer.join()


def test_what_runs_is_ended_where_it_is() -> None:
    assert isinstance(interrupted(Interruptible(), 10, 0.05), TimeLimitExceeded)


def test_a_call_that_has_ended_is_left_alone() -> None:
    call = Interruptible()
    assert call.run(lambda: "done") == "done"
    assert not call.interrupt(Cancelled)
    busy(0.01)


def test_no_interruption_escapes_into_what_comes_after_the_call() -> None:
    random = Random(7)
    outcomes: Counter[type] = Counter()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(300):
            # both take about as long, so that many interruptions arrive while the call is just ending
            outcomes[type(interrupted(Interruptible(), 0.001, 0.0015 * random.random()))] += 1
            for _ in range(20):
                busy(0)  # would be hit by one that came too late
    finally:
        sys.setswitchinterval(interval)
    assert outcomes.keys() == {str, TimeLimitExceeded}
    assert min(outcomes.values()) > 10


def test_a_call_is_interrupted_once_only() -> None:
    call = Interruptible()
    is_cleaning = threading.Event()
    cleaned = []

    def work() -> None:
        try:
            busy(10)
        finally:
            is_cleaning.set()
            busy(0.05)
            cleaned.append(True)

    def interrupt() -> None:
        while not call.interrupt(Cancelled):
            time.sleep(0)
        is_cleaning.wait()
        call.interrupt(Cancelled)

    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(Cancelled):
        call.run(work)
    other.join()
    assert cleaned == [True]
