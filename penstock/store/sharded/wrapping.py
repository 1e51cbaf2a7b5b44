"""The message of a join whose queue lives on another shard: wrapped, until it is relayed."""

from collections.abc import Sequence

import msgspec
from msgspec import structs

from penstock.core.clock import to_ms
from penstock.core.effects import FollowUp, Join
from penstock.core.messages import Draft, MessageView, State, blocked_view
from penstock.core.placement import slot_of, slot_of_key
from penstock.store.sharded.shards import JOINED, Shards

_AS_SENT_SECONDS = 3_153_600_000.0
"""The delay of a wrapped message that nobody has rescheduled: so it is known from one that was."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FollowUp).decode


def wrapped(join: Join, shards: Shards) -> Join:
    """Return a join as its shard keeps it."""
    return _wrapped(join) if shards.home(join.follow_up.queue) != shards.home_of_join(join.join_id) else join


def rewrapped(join: Join, homes: Sequence[int]) -> Join:
    """Return a join, as one shard keeps it, as another one does.

    Args:
        join: as it was kept.
        homes: where all slots live then.
    """
    if join.follow_up.queue == JOINED:
        outer = join.follow_up.message
        inner = _decode(outer.body.encode())
        message = structs.replace(inner.message, deliver_at=outer.deliver_at)
        join = structs.replace(join, follow_up=structs.replace(inner, message=message))
    is_alone = homes[slot_of(join.follow_up.queue)] != homes[slot_of_key(join.join_id)]
    return _wrapped(join) if is_alone else join


def _wrapped(join: Join) -> Join:
    inner = join.follow_up
    draft = Draft(
        _encode(inner).decode(),
        delay_seconds=_AS_SENT_SECONDS,
        deliver_at=inner.message.deliver_at,
        message_id=inner.message.message_id,
    )
    return structs.replace(join, follow_up=FollowUp(JOINED, draft))


def unwrapped(message: MessageView) -> FollowUp:
    """Return what a join has sent, when it may be received as it was last said."""
    inner = _decode(message.body.encode())
    if message.visible_at == message.sent_at + to_ms(_AS_SENT_SECONDS):
        return inner
    return structs.replace(inner, message=structs.replace(inner.message, deliver_at=message.visible_at))


def reworded(kept: MessageView, message: MessageView) -> MessageView:
    """Return a message in other words, as it is kept: like ``kept``, which may be wrapped."""
    if kept.queue != JOINED:
        return message
    inner = _decode(kept.body.encode())
    draft = structs.replace(
        inner.message,
        body=message.body,
        attributes=message.attributes,
        system_attributes=message.system_attributes,
    )
    return structs.replace(kept, body=_encode(structs.replace(inner, message=draft)).decode())


def shown(message: MessageView | None) -> MessageView | None:
    """Return a message as its sender knows it."""
    if message is None or message.queue != JOINED:
        return message
    inner = _decode(message.body.encode())
    if message.state is State.BLOCKED and message.visible_at:
        inner = structs.replace(inner, message=structs.replace(inner.message, deliver_at=message.visible_at))
    return blocked_view(inner.queue, inner.message)
