"""The contract's verbs over any store, with content sealed on the way in and opened on the way out."""

from collections.abc import Sequence

from msgspec import structs

from penstock.core.effects import Effects, Record
from penstock.core.errors import GuardFailed
from penstock.core.events import Event
from penstock.core.filters import Matcher, MessageFilter
from penstock.core.messages import Draft, MessageView
from penstock.core.moves import Move
from penstock.core.operations import ApplyReply, SendOutcome
from penstock.core.queues import QueueChanges, QueueDescription
from penstock.core.settlements import DeadLetter, Settled, Settlement, SettleOutcome
from penstock.store.contract import VERBS, Received, Store
from penstock.store.sealed.contents import Contents
from penstock.store.sealed.guarding import Guarding
from penstock.store.sealed.keys import Keyring
from penstock.store.sealed.notice import NOTICE_KEY
from penstock.store.sealed.passing_over import PassingOver, unopenable
from penstock.store.sealed.queues import Queues
from penstock.store.sealed.sealing import Sealing, Unopenable


class SealedStore:
    """Seals what another store keeps.

    Args:
        store: where it is kept; closed with this one.
        keys: to seal and open with.
    """

    def __init__(self, store: Store, keys: Keyring) -> None:
        sealing = Sealing(keys)
        self.plain_store = store
        self.keys = keys
        self.contents = Contents(sealing)
        self._queues = Queues(store)
        self.guarding = Guarding(store, sealing, self.contents, self._queues)
        self._passing_over = PassingOver(store, self._queues)
        store.match_by(self.contents.matches)
        for same in ("listen", "aclose", *VERBS):
            if not hasattr(self, same):
                setattr(self, same, getattr(store, same))

    # -- queues: what is known of them may no longer hold --------------------------------------------------------------

    async def create_queue(
        self, name: str, changes: QueueChanges, name_rest_ms: int, now: int
    ) -> tuple[QueueDescription, bool]:
        self._queues.forget(name)
        return await self.plain_store.create_queue(name, changes, name_rest_ms, now)

    async def update_queue(self, name: str, changes: QueueChanges, now: int) -> QueueDescription:
        try:
            return await self.plain_store.update_queue(name, changes, now)
        finally:
            self._queues.forget(name)

    async def delete_queue(self, name: str, now: int) -> None:
        try:
            await self.plain_store.delete_queue(name, now)
        finally:
            self._queues.forget(name)

    # -- messages ----------------------------------------------------------------------------------------------------

    async def send(self, queue: str, drafts: Sequence[Draft], now: int) -> tuple[SendOutcome, ...]:
        told, seal = await self._queues.are_told_by_body(queue, now), self.contents.sealed
        sealed = [seal(each, is_told_by_body=told and each.deduplication_id is None) for each in drafts]
        return await self.plain_store.send(queue, sealed, now)

    async def receive(
        self,
        queue: str,
        tokens: Sequence[bytes],
        visibility_timeout_ms: int | None,
        now: int,
        *,
        owner: str | None = None,
        attempt_id: str | None = None,
        following: str | None = None,
    ) -> Received:
        received = await self.plain_store.receive(
            queue, tokens, visibility_timeout_ms, now, owner=owner, attempt_id=attempt_id, following=following
        )
        if not received.deliveries:
            return received
        opened, closed = [], []
        for each in received.deliveries:
            try:
                opened.append(self.contents.opened(each))
            except Unopenable as why:
                closed.append((each, why))
        if closed:
            return await self._passing_over.received(queue, received, opened, closed, now)
        return structs.replace(received, deliveries=tuple(opened))

    async def settle(self, settlements: Sequence[Settlement], now: int) -> tuple[SettleOutcome, ...]:
        sealed = [await self._sealed(each, now) for each in settlements]
        outcomes = await self.plain_store.settle(sealed, now)
        if not any(each.problem is not None and each.problem.code == GuardFailed.code for each in outcomes):
            return outcomes
        return tuple(
            [
                await self._settled(*each, now)
                if each[0].problem is not None and each[0].problem.code == GuardFailed.code
                else each[0]
                for each in zip(outcomes, settlements, sealed, strict=True)
            ]
        )

    async def _sealed(self, settlement: Settlement, now: int) -> Settlement:
        effects = await self.guarding.sealed_effects(settlement.effects, now)
        action = settlement.action
        if isinstance(action, DeadLetter) and action.reason:
            action = DeadLetter(self.contents.sealed_reason(action.reason))
        if effects is settlement.effects and action is settlement.action:
            return settlement
        return structs.replace(settlement, effects=effects, action=action)

    async def _settled(
        self, outcome: SettleOutcome, settlement: Settlement, sealed: Settlement, now: int
    ) -> SettleOutcome:
        async def attempt(effects: Effects) -> SettleOutcome:
            (again,) = await self.plain_store.settle([structs.replace(sealed, effects=effects)], now)
            if again.problem is not None and again.problem.code == GuardFailed.code:
                raise GuardFailed(again.problem.message, hint=again.problem.hint, field=again.problem.field)
            return again

        try:
            return await self.guarding.guarded(sealed.effects, settlement.effects.guards, attempt, now)
        except GuardFailed as error:
            return SettleOutcome(Settled.REFUSED, outcome.message_id, error.problem)

    async def apply(self, effects: Effects, now: int) -> ApplyReply:
        sealed = await self.guarding.sealed_effects(effects, now)
        try:
            return await self.plain_store.apply(sealed, now)
        except GuardFailed:
            return await self.guarding.guarded(
                sealed, effects.guards, lambda guarded: self.plain_store.apply(guarded, now), now
            )

    async def peek(
        self, queue: str, wanted: MessageFilter, after: int, limit: int, now: int
    ) -> tuple[Sequence[MessageView], int | None]:
        found, after_all = await self.plain_store.peek(queue, wanted, after, limit, now)
        return [self._shown(each) for each in found], after_all

    async def find(self, message_ids: Sequence[str], now: int) -> tuple[MessageView | None, ...]:
        found = await self.plain_store.find(message_ids, now)
        return tuple([None if each is None else self._shown(each) for each in found])

    async def list_blocked(self, after: str, limit: int, now: int) -> tuple[Sequence[MessageView], str | None]:
        found, after_all = await self.plain_store.list_blocked(after, limit, now)
        return [self._shown(each) for each in found], after_all

    async def rewrite(self, messages: Sequence[MessageView], now: int) -> None:
        await self.plain_store.rewrite([self.contents.rewritten(each) for each in messages], now)

    def match_by(self, matcher: Matcher) -> None:
        self.contents.matcher = matcher

    def _shown(self, message: MessageView) -> MessageView:
        try:
            return self.contents.opened(message)
        except Unopenable as why:
            raise unopenable(message.queue, message, why) from why

    # -- moves -------------------------------------------------------------------------------------------------------

    async def start_move(self, move: Move, now: int) -> Move:
        wanted = None if move.filter is None else self.contents.sealed_filter(move.filter)
        return self._opened(await self.plain_store.start_move(structs.replace(move, filter=wanted), now))

    async def cancel_move(self, move_id: str, now: int) -> Move:
        return self._opened(await self.plain_store.cancel_move(move_id, now))

    async def list_moves(self, source: str, limit: int, now: int) -> Sequence[Move]:
        return [self._opened(each) for each in await self.plain_store.list_moves(source, limit, now)]

    def _opened(self, move: Move) -> Move:
        if move.filter is None:
            return move
        try:
            return structs.replace(move, filter=self.contents.opened_filter(move.filter))
        except Unopenable:
            return move

    # -- records -----------------------------------------------------------------------------------------------------

    async def put_records(self, records: Sequence[Record], now: int) -> tuple[bool, ...]:
        return await self.plain_store.put_records([self.guarding.sealed(each) for each in records], now)

    async def get_records(self, keys: Sequence[str], now: int) -> tuple[Record | None, ...]:
        found = await self.plain_store.get_records(keys, now)
        return tuple([None if each is None or each.key == NOTICE_KEY else self.guarding.opened(each) for each in found])

    async def find_records(
        self, prefix: str, tag: str | None, after: str, limit: int, now: int, *, is_descending: bool = False
    ) -> Sequence[Record]:
        more = NOTICE_KEY.startswith(prefix)
        found = await self.plain_store.find_records(prefix, tag, after, limit + more, now, is_descending=is_descending)
        return [self.guarding.opened(each) for each in found if each.key != NOTICE_KEY][:limit]

    # -- feed --------------------------------------------------------------------------------------------------------

    async def read_history(self, message_id: str) -> Sequence[Event]:
        return [self.contents.opened_event(each) for each in await self.plain_store.read_history(message_id)]

    async def read_events(self, after: int, limit: int) -> Sequence[Event]:
        return [self.contents.opened_event(each) for each in await self.plain_store.read_events(after, limit)]
