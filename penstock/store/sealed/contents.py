"""What of messages is sealed: bodies, attributes' values, what filters look for, why something was dead-lettered.

A body is bound to what stays when its message is moved, dead-lettered or carried to another store: its group, who sent
it, the names and types of its attributes; an attribute's value to its name and to that body.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

import msgspec
from msgspec import structs

from penstock.core.events import Event
from penstock.core.filters import Matcher, MessageFilter, matches
from penstock.core.messages import Attribute, Delivery, Draft, MessageView, as_draft
from penstock.core.sealed import HEADER_LENGTH, key_id_of
from penstock.store.sealed.sealing import Sealing, Unopenable

Attributes = Mapping[str, Attribute]
Shown = TypeVar("Shown", Delivery, MessageView)

CONTENT_ID = "~sealed-body."
"""What deduplication ids begin with that were made of bodies; digits follow that only the key can make."""

_NONCE_CHARACTERS = 32
_PLAIN = b"body"
_FILTER = b"filter"
_REASON = b"reason"
_pack = msgspec.msgpack.Encoder().encode


class Contents:
    """Seals and opens what messages say.

    Args:
        sealing: with which keys.

    Attributes:
        matcher: judges what peeks and moves look for, in the clear.
    """

    def __init__(self, sealing: Sealing) -> None:
        self._sealing = sealing
        self.matcher: Matcher = matches
        self.opened_filter: Callable[[MessageFilter], MessageFilter] = lru_cache(maxsize=64)(self._opened_filter)

    # -- messages ----------------------------------------------------------------------------------------------------

    def sealed(self, draft: Draft, *, is_told_by_body: bool) -> Draft:
        """Return a draft as it is kept.

        Args:
            draft: in the clear.
            is_told_by_body: its queue deduplicates by content, and it names no deduplication id.
        """
        first = self._sealing.keys.first
        if first is None:
            return draft
        bound = _bound(draft.group_id, draft.sender_id, draft.attributes, draft.system_attributes)
        body = self._sealing.seal_text(draft.body, bound)
        deduplication_id = draft.deduplication_id
        if is_told_by_body:
            deduplication_id = f"{CONTENT_ID}{first.digest_of(draft.body)}"
        return structs.replace(
            draft,
            body=body,
            attributes=self._each(draft.attributes, body, is_sealed=True),
            system_attributes=self._each(draft.system_attributes, body, is_sealed=True),
            deduplication_id=deduplication_id,
        )

    def opened(self, shown: Shown) -> Shown:
        """Return a message as its sender said it. Raises Unopenable."""
        kept = shown.body
        if key_id_of(kept) is None:
            return shown
        attributes, system_attributes = shown.attributes, shown.system_attributes
        bound = _bound(shown.group_id, shown.sender_id, attributes, system_attributes)
        body = self._sealing.open_text(kept, bound)
        deduplication_id = shown.deduplication_id
        if deduplication_id is not None and deduplication_id.startswith(CONTENT_ID):
            deduplication_id = hashlib.sha256(body.encode()).hexdigest()
        return structs.replace(
            shown,
            body=body,
            attributes=self._each(attributes, kept, is_sealed=False),
            system_attributes=self._each(system_attributes, kept, is_sealed=False),
            deduplication_id=deduplication_id,
        )

    def rewritten(self, message: MessageView) -> MessageView:
        """Return a message in the clear as it is kept, but for its deduplication id."""
        draft = self.sealed(as_draft(message), is_told_by_body=False)
        return structs.replace(
            message, body=draft.body, attributes=draft.attributes, system_attributes=draft.system_attributes
        )

    def _each(self, attributes: Attributes, body: str, *, is_sealed: bool) -> Attributes:
        if not attributes:
            return attributes
        text = self._sealing.seal_text if is_sealed else self._sealing.open_text
        value = self._sealing.seal_value if is_sealed else self._sealing.open_value
        nonce = body[HEADER_LENGTH : HEADER_LENGTH + _NONCE_CHARACTERS]
        found = {}
        for name, each in attributes.items():
            bound = _pack((name, nonce))
            found[name] = Attribute(
                each.data_type,
                None if each.string_value is None else text(each.string_value, bound),
                None if each.binary_value is None else value(each.binary_value, bound),
            )
        return found

    # -- filters -----------------------------------------------------------------------------------------------------

    def sealed_filter(self, wanted: MessageFilter) -> MessageFilter:
        """Return a filter as it is kept."""
        return self._filter(wanted, self._sealing.seal_text)

    def _opened_filter(self, wanted: MessageFilter) -> MessageFilter:
        """Return a filter as somebody asked for it. Raises Unopenable."""
        return self._filter(wanted, self._sealing.open_text)

    def _filter(self, wanted: MessageFilter, turned: Callable[[str, bytes], str]) -> MessageFilter:
        looked_for = {
            name: turned(text, _FILTER)
            for name in ("text", "json_path", "json_value", "attribute_value")
            if (text := getattr(wanted, name)) is not None
        }
        return structs.replace(wanted, **looked_for) if looked_for else wanted

    def matches(self, wanted: MessageFilter, message: MessageView) -> bool:
        """Return whether a kept message meets every condition; one that cannot be opened meets none on its content."""
        try:
            wanted = self.opened_filter(wanted)
            around, looks_inside = _split(wanted)
            is_meant = self.matcher(around, message)
            return is_meant and (not looks_inside or self.matcher(wanted, self.opened(message)))
        except Unopenable:
            return False

    # -- reasons -----------------------------------------------------------------------------------------------------

    def sealed_reason(self, reason: str) -> str:
        """Return why a message is dead-lettered, as the history keeps it."""
        return self._sealing.seal_text(reason, _REASON)

    def opened_event(self, event: Event) -> Event:
        """Return an event as it happened. What it says and cannot be opened, it says why."""
        if event.detail is None or key_id_of(event.detail) is None:
            return event
        try:
            return structs.replace(event, detail=self._sealing.open_text(event.detail, _REASON))
        except Unopenable as why:
            return structs.replace(event, detail=f"({why})")


def _bound(group_id: str | None, sender_id: str | None, attributes: Attributes, system_attributes: Attributes) -> bytes:
    if not (group_id or sender_id or attributes or system_attributes):
        return _PLAIN
    named = [sorted((name, each.data_type) for name, each in some.items()) for some in (attributes, system_attributes)]
    return _PLAIN + _pack((group_id or "", sender_id or "", *named))


@lru_cache(maxsize=64)
def _split(wanted: MessageFilter) -> tuple[MessageFilter, bool]:
    """Return what a filter asks of a message without looking inside, and whether it asks for more."""
    around = structs.replace(wanted, text=None, json_path=None, json_value=None, attribute_value=None)
    return around, around != wanted
