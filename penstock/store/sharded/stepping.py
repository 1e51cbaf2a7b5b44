"""Settlements and effects whose things live on several shards.

The step happens on one shard, atomically, with all of its things that live there; for the rest it leaves entries in the
outbox, in the same step, which are relayed before it is answered. What would refuse the step elsewhere is asked before
it, not in it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct, structs

from penstock.core.effects import NO_EFFECTS, Effects, FollowUp, Guard, Record
from penstock.core.errors import PenstockError, QueueNotFound, StoreUnavailable
from penstock.core.lifecycle import refusal
from penstock.core.operations import ApplyReply, SendOutcome, Sent
from penstock.core.placement import is_minted, slot_of
from penstock.core.queues import QueueDescription
from penstock.core.refusals import guard_failed, queue_not_found
from penstock.core.settlements import Settled, Settlement, SettleOutcome
from penstock.store.shard import MapChanged
from penstock.store.sharded.relaying import Entry, Relaying
from penstock.store.sharded.shards import RESERVED, Shards
from penstock.store.sharded.splitting import split
from penstock.store.sharded.waiting import slots_in
from penstock.store.sharded.wrapping import wrapped

_NEVER = Effects(guards=(Guard(f"{RESERVED}never", b"never"),))


class Step(Struct, frozen=True):
    """Effects made ready for one shard.

    Attributes:
        local: what happens there, entries of the outbox at the end of its sends.
        entries: what is relayed.
        refused: why it cannot happen, as far as it is known.
    """

    local: Effects
    entries: tuple[Entry, ...] = ()
    refused: PenstockError | None = None


_NOTHING = Step(NO_EFFECTS)


class Stepping:
    """Takes steps that concern several shards.

    Args:
        shards: which.
        relaying: what relays the rest.
    """

    def __init__(self, shards: Shards, relaying: Relaying) -> None:
        self._shards = shards
        self._relaying = relaying

    # -- settlements -------------------------------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        """End deliveries, those of one shard together."""
        outcomes: list[SettleOutcome] = []
        for run in self._runs(settlements):
            found = await self._settle_run(run, now)
            if None in found:
                return (*outcomes, *await self._go_on(found, settlements[len(outcomes) :], now))
            outcomes += [each for each in found if each is not None]
        return tuple(outcomes)

    async def _go_on(
        self, found: Sequence[SettleOutcome | None], settlements: Sequence[Settlement], now: int
    ) -> list[SettleOutcome]:
        """Settle by the map of now what was refused by an older one, and what comes behind it."""
        known = dict(enumerate(found))
        left = [place for place in range(len(settlements)) if known.get(place) is None]
        slots = set[int]().union(*({slot_of(each.queue)} | slots_in(each.effects) for each in settlements))
        spread = await self._shards.renewed(slots)
        known.update(zip(left, await spread.settle([settlements[place] for place in left], now), strict=True))
        return [outcome for _, outcome in sorted(known.items()) if outcome is not None]

    def _runs(self, settlements: Sequence[Settlement]) -> Iterable[list[Settlement]]:
        """Return settlements in parts, each of which needs nothing that the one before has relayed.

        What several relay to one shard arrives there in their order.
        """
        run: list[Settlement] = []
        kept, relayed = set[str](), set[str]()
        for each in settlements:
            if each.effects is NO_EFFECTS:
                run.append(each)
                continue
            guarded, local, crossing = self._names(each)
            # what crosses is looked at before the run begins
            if relayed & (guarded | local) or (crossing and kept & guarded):
                yield run
                run, kept, relayed = [], set(), set()
            run.append(each)
            kept |= local
            relayed |= crossing
        if run:
            yield run

    def _names(self, settlement: Settlement) -> tuple[set[str], set[str], set[str]]:
        """Return the names of what guards a settlement, of what it touches on its shard, and of what on others."""
        effects = settlement.effects
        guarded, local, crossing = set[str](), set[str](), set[str]()
        if effects is NO_EFFECTS or effects == NO_EFFECTS:
            return guarded, local, crossing
        origin = self._shards.home(settlement.queue)
        for home, part in split(effects, self._shards).items():
            each = part.effects
            guards = {f"k{guard.key}" for guard in each.guards}
            names = {f"k{key}" for key in (*each.forgets, *(record.key for record in each.records))}
            names |= {f"j{join.join_id}" for join in each.joins} | {f"j{arrival.join_id}" for arrival in each.arrivals}
            names |= {f"q{send.queue}" for send in each.sends}
            guarded |= guards
            if home == origin:
                local |= names
            else:
                crossing |= names | guards
            # of two that name one message the second must find it
            follow_ups = (*each.sends, *(join.follow_up for join in each.joins))
            own = {f"m{one.message.message_id}" for one in follow_ups if not is_minted(one.message.message_id or "")}
            local |= own
            crossing |= own
        return guarded, local, crossing

    async def _settle_run(self, settlements: Sequence[Settlement], now: int) -> list[SettleOutcome | None]:
        """Return outcomes; ``None``: the map has changed, and nothing was done."""
        try:
            steps = await self._steps(settlements, now)
        except MapChanged:
            return [None] * len(settlements)
        homes = {queue: self._shards.home(queue) for queue in {each.queue for each in settlements}}
        places: dict[int, list[int]] = defaultdict(list)
        for place, each in enumerate(settlements):
            places[homes[each.queue]].append(place)

        async def on(shard: int, mine: list[int]) -> Sequence[SettleOutcome | None]:
            ready = [_with(settlements[place], steps[place]) for place in mine]
            try:
                answer = await self._shards.attempt(shard, lambda store: store.settle(ready, now))
            except MapChanged:
                return [None] * len(mine)
            if isinstance(answer, StoreUnavailable):
                # those on other shards happen: only these are told that theirs may have not
                return [SettleOutcome(Settled.REFUSED, problem=answer.problem)] * len(mine)
            return [None if each.problem and each.problem.code == MapChanged.code else each for each in answer]

        found: dict[int, SettleOutcome | None] = {}
        for mine, answer in zip(
            places.values(), await asyncio.gather(*(on(shard, mine) for shard, mine in places.items())), strict=True
        ):
            found.update(zip(mine, answer, strict=True))
        outcomes = [_outcome(found[place], step) for place, step in enumerate(steps)]
        relayed = [
            step.entries
            for outcome, step in zip(outcomes, steps, strict=True)
            if step.entries and outcome and outcome.result is Settled.DONE
        ]
        if relayed:
            await self._relaying.relay(relayed)
        return outcomes

    async def _steps(self, settlements: Sequence[Settlement], now: int) -> list[Step]:
        """Make the effects of settlements ready. Raises MapChanged."""
        steps = [_NOTHING] * len(settlements)
        places = [place for place, each in enumerate(settlements) if each.effects is not NO_EFFECTS]
        made = await asyncio.gather(*(self._settling(settlements[place], now) for place in places))
        for place, step in zip(places, made, strict=True):
            steps[place] = step
        return steps

    async def _settling(self, settlement: Settlement, now: int) -> Step:
        if settlement.effects == NO_EFFECTS:
            return _NOTHING
        step, _ = await self._ready(settlement.effects, self._shards.home(settlement.queue), now)
        return step

    # -- effects -----------------------------------------------------------------------------------------------------

    async def apply(self, effects: Effects, now: int) -> ApplyReply:
        """Let effects happen; the step is taken where the first guard is, or else most of them. Raises what refuses."""
        if effects == NO_EFFECTS:
            return ApplyReply((), ())
        parts = split(effects, self._shards)
        if effects.guards:
            origin = self._shards.home_of_record(effects.guards[0].key)
        else:
            origin = max(parts, key=lambda shard: len(parts[shard].sends) + len(parts[shard].records))
        if effects.sends and effects.joins:
            effects = await self._with_joins_ahead(effects, origin, now)
            parts = split(effects, self._shards)
        step, known = await self._ready(effects, origin, now)
        if step.refused is not None:
            raise step.refused
        answer = await self._shards[origin].apply(step.local, now)
        sends: dict[int, SendOutcome] = dict(known)
        records: dict[int, bool] = {}
        relayed = (await self._relaying.relay([step.entries])) or [[]]
        replies = [(origin, answer), *zip((entry.target for entry in step.entries), relayed[0], strict=True)]
        for shard, reply in replies:
            if shard not in parts:
                continue
            part = parts[shard]
            sent = [place for place in part.sends if place not in known]
            if reply is None:
                if sent or part.records:
                    raise StoreUnavailable(
                        f"Shard {shard} of the store is away; what was for it happens when it is back.",
                        hint="Do not repeat it, or only with the same message ids.",
                    )
                continue
            sends.update(zip(sent, reply.outcomes, strict=False))
            records.update(zip(part.records, reply.kept_records, strict=False))
        return ApplyReply(
            tuple(sends[place] for place in range(len(effects.sends))),
            tuple(records[place] for place in range(len(effects.records))),
        )

    async def _with_joins_ahead(self, effects: Effects, origin: int, now: int) -> Effects:
        """Open the joins of other shards before the step: what it sends may have arrived before the rest is relayed.

        What is opened for a step that then is not taken waits for nothing, and is used when the step is taken again.

        Returns:
            The effects without what was opened.
        """
        if await self._refusal(effects, origin, now) is not None:
            return effects
        known, (_, unopenable) = await self._kept_elsewhere(effects, now), self._named_before(effects)
        ahead: dict[int, list[int]] = defaultdict(list)
        for place, join in enumerate(effects.joins):
            home = self._shards.home_of_join(join.join_id)
            if home != origin and place not in unopenable and join.follow_up.message.message_id not in known:
                ahead[home].append(place)
        opened = set[int]()
        for home, places in ahead.items():
            joins = Effects(joins=tuple([wrapped(effects.joins[place], self._shards) for place in places]))
            answer = await self._shards.attempt(home, lambda shard, joins=joins: shard.apply(joins, now))  # type: ignore[misc]
            opened.update(() if isinstance(answer, StoreUnavailable) else places)
        left = tuple([join for place, join in enumerate(effects.joins) if place not in opened])
        return structs.replace(effects, joins=left)

    async def _ready(self, effects: Effects, origin: int, now: int) -> tuple[Step, dict[int, Sent]]:
        """Return effects made ready for a shard, and the outcomes of sends that are left out: duplicates elsewhere."""
        known = await self._kept_elsewhere(effects, now)
        sends = {
            place: Sent(each.message.message_id or "", known[each.message.message_id or ""], is_duplicate=True)
            for place, each in enumerate(effects.sends)
            if each.message.message_id in known
        }
        joins = tuple([wrapped(join, self._shards) for join in effects.joins])
        parts = split(effects, self._shards)
        if not known and list(parts) == [origin] and joins == effects.joins:
            return Step(effects), {}
        refused, (repeated, unopenable) = await self._refusal(effects, origin, now), self._named_before(effects)
        for place, first in repeated.items():
            message_id = effects.sends[place].message.message_id or ""
            sends.setdefault(place, sends.get(first, Sent(message_id, 0, is_duplicate=True)))
        if sends or unopenable or known or joins != effects.joins:
            left = tuple([each for place, each in enumerate(effects.sends) if place not in sends])
            joins = tuple(
                [
                    join
                    for place, join in enumerate(joins)
                    if place not in unopenable and join.follow_up.message.message_id not in known
                ]
            )
            parts = split(structs.replace(effects, sends=left, joins=joins), self._shards)
        entries = tuple(
            self._relaying.entry(origin, shard, structs.replace(part.effects, guards=()), now)
            for shard, part in parts.items()
            if shard != origin and structs.replace(part.effects, guards=()) != NO_EFFECTS
        )
        here = parts[origin].effects if origin in parts else NO_EFFECTS
        local = structs.replace(here, sends=(*here.sends, *(entry.follow_up() for entry in entries)))
        return Step(local, entries, refused), sends

    async def _refusal(self, effects: Effects, origin: int, now: int) -> PenstockError | None:
        """Return why effects cannot happen, or ``None``, wherever that is known."""
        follow_ups: list[FollowUp] = [*effects.sends, *(join.follow_up for join in effects.joins)]
        names = list(dict.fromkeys(each.queue for each in follow_ups))
        keys = list(dict.fromkeys(guard.key for guard in effects.guards))
        kept, queues = await asyncio.gather(
            asyncio.gather(*(self._kept(key, now) for key in keys)),
            asyncio.gather(*(self._look(name, origin, now) for name in names)),
        )
        records, described = dict(zip(keys, kept, strict=True)), dict(zip(names, queues, strict=True))
        for guard in effects.guards:
            record = records[guard.key]
            if isinstance(record, StoreUnavailable):
                return record
            if guard.value != (None if record is None else record.value):
                return guard_failed(guard.key)
        for follow_up in follow_ups:
            queue = described[follow_up.queue]
            if queue is None:
                return queue_not_found(follow_up.queue)
            error = queue if isinstance(queue, StoreUnavailable) else refusal(queue.settings, follow_up.message)
            if error is not None:
                return error
        return None

    async def _kept(self, key: str, now: int) -> Record | StoreUnavailable | None:
        found = await self._shards.attempt(
            self._shards.home_of_record(key), lambda shard: shard.get_records((key,), now)
        )
        return found if isinstance(found, StoreUnavailable) else found[0]

    async def _look(self, name: str, origin: int, now: int) -> QueueDescription | StoreUnavailable | None:
        found: QueueDescription | StoreUnavailable
        try:
            found = await self._shards.attempt(self._shards.home(name), lambda shard: shard.describe_queue(name, now))
            if isinstance(found, StoreUnavailable):
                # its mirror knows as much
                found = await self._shards.attempt(origin, lambda shard: shard.describe_queue(name, now))
        except QueueNotFound:
            return None
        return found

    def _named_before(self, effects: Effects) -> tuple[dict[int, int], set[int]]:
        """Return what of some effects names a message that they name before, for another shard.

        Returns:
            Places of sends, each with that of the send before it; places of joins.
        """
        named: dict[str | None, tuple[int, int]] = {}
        sends, joins = dict[int, int](), set[int]()
        for place, each in enumerate(effects.sends):
            home = self._shards.home(each.queue)
            first_home, first = named.setdefault(each.message.message_id, (home, place))
            if first_home != home:
                sends[place] = first
        for place, join in enumerate(effects.joins):
            home = self._shards.home_of_join(join.join_id)
            if named.setdefault(join.follow_up.message.message_id, (home, place))[0] != home:
                joins.add(place)
        return sends, joins

    async def _kept_elsewhere(self, effects: Effects, now: int) -> dict[str, int]:
        wanted: dict[int, list[str]] = defaultdict(list)
        for each in effects.sends:
            wanted[self._shards.home(each.queue)].append(each.message.message_id or "")
        for join in effects.joins:
            wanted[self._shards.home_of_join(join.join_id)].append(join.follow_up.message.message_id or "")
        found: dict[str, int] = {}
        for home, ids in wanted.items():
            found.update(await self.kept_elsewhere(ids, home, now))
        return found

    async def kept_elsewhere(self, message_ids: Sequence[str], home: int, now: int) -> dict[str, int]:
        """Return the sequence numbers of messages that other shards keep already, by id.

        Only of ids that callers made themselves: nobody mints one twice. A shard that is away is not asked.
        """
        own = [each for each in message_ids if not is_minted(each)]
        if not own:
            return {}
        others = self._shards.others(home)
        pages = await asyncio.gather(
            *(self._shards.attempt(index, lambda shard: shard.find(own, now)) for index in others)
        )
        return {
            view.message_id: view.sequence_number
            for page in pages
            if not isinstance(page, StoreUnavailable)
            for view in page
            if view is not None
        }


def _with(settlement: Settlement, step: Step) -> Settlement:
    if step is _NOTHING:
        return settlement
    if step.refused is not None:
        return structs.replace(settlement, effects=_NEVER)
    if step.local is settlement.effects or (step.local is NO_EFFECTS and settlement.effects == NO_EFFECTS):
        return settlement
    return structs.replace(settlement, effects=step.local)


def _outcome(found: SettleOutcome | None, step: Step) -> SettleOutcome | None:
    """Return the outcome of a settlement: whether it holds its delivery comes before what refuses its effects."""
    is_never = found is not None and found.problem is not None and found.problem.code == "guard_failed"
    if found is None or step.refused is None or not is_never:
        return found
    return structs.replace(found, problem=step.refused.problem)
