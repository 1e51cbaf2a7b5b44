"""Effects taken apart by the shards their things live on, and put together again."""

from collections.abc import Iterable

from msgspec import Struct, structs

from penstock.core.effects import Effects
from penstock.store.sharded.shards import Shards


class Part(Struct, frozen=True):
    """What of some effects happens on one shard.

    Attributes:
        effects: in the order they had.
        sends, records: the places they had among those of the whole.
    """

    effects: Effects
    sends: tuple[int, ...]
    records: tuple[int, ...]


def split(effects: Effects, shards: Shards) -> dict[int, Part]:
    """Return the parts of effects by shard."""
    kinds = {
        "guards": [shards.home_of_record(each.key) for each in effects.guards],
        "forgets": [shards.home_of_record(key) for key in effects.forgets],
        "sends": [shards.home(each.queue) for each in effects.sends],
        "records": [shards.home_of_record(each.key) for each in effects.records],
        "joins": [shards.home_of_join(each.join_id) for each in effects.joins],
        "arrivals": [shards.home_of_join(each.join_id) for each in effects.arrivals],
    }
    found = dict.fromkeys(home for homes in kinds.values() for home in homes)
    if len(found) == 1:
        (only,) = found
        whole = Part(effects, tuple(range(len(effects.sends))), tuple(range(len(effects.records))))
        return {only: whole}
    return {
        shard: Part(
            Effects(
                **{
                    kind: tuple(each for each, home in zip(getattr(effects, kind), homes, strict=True) if home == shard)
                    for kind, homes in kinds.items()
                }
            ),
            _places(kinds["sends"], shard),
            _places(kinds["records"], shard),
        )
        for shard in found
    }


def _places(homes: Iterable[int], shard: int) -> tuple[int, ...]:
    return tuple(place for place, home in enumerate(homes) if home == shard)


def without_guards(effects: Effects) -> Effects:
    """Return effects that happen whatever is kept."""
    return structs.replace(effects, guards=()) if effects.guards else effects
