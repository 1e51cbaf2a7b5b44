"""What an operation is."""

from typing import Generic, TypeVar

from msgspec import Struct

Reply = TypeVar("Reply")


class Operation(Struct, Generic[Reply], frozen=True):
    """Something Penstock can be asked to do; ``Reply`` is the type of its answer."""


class Done(Struct, frozen=True):
    """It happened; there is nothing more to say."""


DONE = Done()
