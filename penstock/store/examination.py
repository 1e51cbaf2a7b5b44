"""What is found when a store is looked at before it is used: what it promises, and what speaks against it."""

from collections.abc import Sequence

from msgspec import Struct


class Concern(Struct, frozen=True):
    """Something that may cost messages, and what to do about it."""

    found: str
    hint: str


class Examination(Struct, frozen=True):
    """What a store promises of an answered change.

    Attributes:
        durability: ``full``: it survives the loss of power. ``os``: it survives the end of every process, and of the
            operating system but for the last moments. ``snapshots``: it survives from the next snapshot on.
            ``delayed``: it survives from a moment later on. ``none``: it survives nothing. ``unknown``: the server does
            not tell.
        concerns: what speaks against it.
    """

    durability: str
    concerns: tuple[Concern, ...] = ()


_FROM_LEAST = ("unknown", "none", "snapshots", "delayed", "os", "full")


def together(found: Sequence[tuple[str, Examination]]) -> Examination:
    """Return what a store of several promises, by name and examination of each: what the weakest of them does."""
    if len(found) == 1:
        return found[0][1]
    concerns = tuple(
        Concern(f"shard {index} ({name}): {each.found}", each.hint)
        for index, (name, examination) in enumerate(found)
        for each in examination.concerns
    )
    return Examination(min((each.durability for _, each in found), key=_FROM_LEAST.index), concerns)
