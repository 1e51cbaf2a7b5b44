"""The one extension point: what wraps every sending and every attempt."""

from contextlib import AbstractContextManager, nullcontext

from penstock.worker.context import JobContext
from penstock.worker.envelope import Envelope
from penstock.worker.outcomes import Outcome


class Middleware:
    """Override what you need; every method does nothing by itself."""

    def sending(self, envelope: Envelope) -> Envelope:
        """Return the job that is to be sent, changed or as it is. Runs where ``send`` is called; raise to refuse."""
        return envelope

    def attempt(self, job: JobContext) -> AbstractContextManager[None]:
        """Return what is entered before the task's function runs and left afterwards, around the function itself.

        It is entered where the function runs: on the event loop, in the thread or in the process. It sees the exception
        that the function raises, and may raise another one; if it swallows it, the job has succeeded, without a result.
        """
        return nullcontext()

    def started(self, job: JobContext) -> None:
        """An attempt has a slot and begins. Runs on the worker's own loop, like the three below: do not block."""

    def ended(self, job: JobContext) -> None:
        """It has left its slot, however that came; the store does not know yet."""

    def lease_lost(self, job: JobContext) -> None:
        """A job that is in hand is no longer ours: another worker may be running it."""

    def settled(self, job: JobContext, outcome: Outcome, seconds: float) -> None:
        """An attempt has ended, and the store knows."""
