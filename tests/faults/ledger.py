"""What the clients of a queue know: what they sent, received and deleted, and what was answered. And what must hold.

The clients live in one event loop, so the ledger has one order. Something is written down as asked before the request
leaves, and as answered when the answer has arrived; what the server did lies between the two.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise
from time import monotonic


@dataclass(eq=False)
class Message:
    """One message that a client meant to send.

    Attributes:
        key: names it within the ledger; its body starts with it.
        number: the order in which messages were sent, as far as one sender sent them.
        group: its message group, in a FIFO queue.
        acknowledged: how often its sending was answered; more than once when it was repeated.
        message_id, sequence: as the server said, in the answer or with a delivery.
    """

    key: str
    body: str
    number: int
    group: str | None
    acknowledged: int = 0
    message_id: str | None = None
    sequence: int | None = None
    deliveries: "list[Delivery]" = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.key} group={self.group} sequence={self.sequence} deliveries={self.deliveries}>"


@dataclass(eq=False)
class Delivery:
    """One handing-over, as its receiver saw it.

    Attributes:
        place: (number of the answer, place within it) in the order of the ledger.
        asked_at, answered_at: the instants between which it was handed over.
        held_until: its lease lasts at least until then.
        delete_asked: where in the order its deletion was asked for; ``None``: never, or it was refused.
        is_deleted: the deletion was answered while the lease was sure to last.
    """

    message: Message
    receipt_handle: str
    receive_count: int
    place: tuple[int, int]
    asked_at: float
    answered_at: float
    held_until: float
    delete_asked: int | None = None
    is_deleted: bool = False

    def __repr__(self) -> str:
        deleted = "" if self.delete_asked is None else f" delete@{self.delete_asked}{'!' if self.is_deleted else '?'}"
        return f"#{self.receive_count}@{self.place}{deleted}"


class Ledger:
    """The knowledge of all clients of one queue.

    Args:
        name: the queue.
        lease_seconds: its visibility timeout.
        now: tells the time in seconds.

    Attributes:
        messages: by key.
        waiting: keys of those whose sending was answered and which were not delivered yet.
        answers: how many answers were written down.
    """

    def __init__(self, name: str, lease_seconds: float, now: Callable[[], float] = monotonic) -> None:
        self.name = name
        self.messages: dict[str, Message] = {}
        self.waiting: set[str] = set()
        self.answers = 0
        self._lease_seconds = lease_seconds
        self._now = now
        self._order = count()

    # -- what clients write down ---------------------------------------------------------------------------------------

    def sending(self, sender: str, filling: str, group: str | None = None) -> Message:
        """A message is about to be sent, whose body begins with its key."""
        key = f"{sender}-{len(self.messages)}"
        return self.sending_as(key, f"{key}|{filling}", group)

    def sending_as(self, key: str, body: str, group: str | None) -> Message:
        """The same, for those who name their messages themselves."""
        message = self.messages[key] = Message(key, body, len(self.messages), group)
        return message

    def sent(self, message: Message, message_id: str, sequence: int | None) -> None:
        """Its sending was answered."""
        self.answers += 1
        assert message.message_id in (None, message_id), f"sent twice, kept twice: {message}, {message_id}"
        assert message.sequence in (None, sequence), f"sent twice, two places: {message}, {sequence}"
        message.message_id, message.sequence = message_id, sequence
        message.acknowledged += 1
        if not message.deliveries:
            self.waiting.add(message.key)

    def received(
        self, asked_at: float, found: list[tuple[str, str, str, int, int | None]], lease_seconds: float | None = None
    ) -> list[Delivery]:
        """A receive was answered with (message id, receipt handle, body, receive count, sequence number) each."""
        self.answers += 1
        answer, now = next(self._order), self._now()
        deliveries = []
        for index, (message_id, handle, body, receive_count, sequence) in enumerate(found):
            message = self.messages.get(body.partition("|")[0])
            assert message is not None, f"nobody sent {body[:80]!r}"
            assert message.body == body, f"another body than was sent: {body[:80]!r}"
            assert message.message_id in (None, message_id), f"kept twice: {message}, {message_id}"
            assert message.sequence in (None, sequence), f"two sequence numbers: {message}, {sequence}"
            message.message_id, message.sequence = message_id, sequence
            held_until = self._held_until(asked_at, self._lease_seconds if lease_seconds is None else lease_seconds)
            delivery = Delivery(message, handle, receive_count, (answer, index), asked_at, now, held_until)
            message.deliveries.append(delivery)
            self.waiting.discard(message.key)
            deliveries.append(delivery)
        return deliveries

    def deleting(self, delivery: Delivery) -> None:
        """Its deletion is about to be asked for."""
        delivery.delete_asked = next(self._order)

    def deleted(self, delivery: Delivery, *, is_sure: bool = False) -> None:
        """Its deletion was answered with success. Of a stale delivery that may say nothing (SQS, ``DeleteMessage``)."""
        self.answers += 1
        delivery.is_deleted = is_sure or self._now() < delivery.held_until

    def not_deleted(self, delivery: Delivery) -> None:
        """Its deletion was refused."""
        self.answers += 1
        delivery.delete_asked = None

    def changing_visibility(self, delivery: Delivery) -> None:
        """Another lease is about to be asked for; from now on nothing is sure of its end."""
        delivery.held_until = min(delivery.held_until, self._now())

    def changed_visibility(self, delivery: Delivery, asked_at: float, seconds: float) -> None:
        """Another lease was answered with success."""
        self.answers += 1
        delivery.held_until = self._held_until(asked_at, seconds)

    def _held_until(self, asked_at: float, seconds: float) -> float:
        """Return until when a lease lasts at least. Servers count whole milliseconds, and begin with one that is over
        in part."""
        return asked_at + seconds - 0.001

    # -- what must hold ------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Raise AssertionError unless everything held. To be called when the queue is empty."""
        self.verify_everything_arrived()
        self.verify_nothing_came_back()
        self.verify_one_lease_at_a_time()
        self.verify_sequences()
        self.verify_order()

    def verify_everything_arrived(self) -> None:
        """Every acknowledged send was delivered; the queue having been emptied, by its first or a later delivery."""
        lost = [message for message in self.messages.values() if message.acknowledged and not message.deliveries]
        assert not lost, f"{len(lost)} acknowledged and lost in {self.name}: {lost[:10]}"

    def verify_nothing_came_back(self) -> None:
        """Nothing was delivered once more after its deletion was acknowledged."""
        for message in self.messages.values():
            deleted = [each.receive_count for each in message.deliveries if each.is_deleted]
            latest = max((each.receive_count for each in message.deliveries), default=0)
            assert all(number == latest for number in deleted), f"deleted, and came back: {message}"

    def verify_one_lease_at_a_time(self) -> None:
        """No two deliveries of a message were held at once, and each has a receive count of its own."""
        for message in self.messages.values():
            in_order = sorted(message.deliveries, key=lambda each: each.receive_count)
            for earlier, later in pairwise(in_order):
                assert earlier.receive_count < later.receive_count, f"counted twice the same: {message}"
                assert earlier.asked_at < later.answered_at, f"counted backwards: {message}"
                assert later.answered_at >= earlier.held_until, f"two live leases: {message}"

    def verify_sequences(self) -> None:
        """Sequence numbers are unique, and grow in the order in which a sender sent to a group."""
        known = [message for message in self.messages.values() if message.sequence is not None]
        assert len({message.sequence for message in known}) == len(known), "a sequence number was given twice"
        for messages in self._by_group(lambda message: bool(message.acknowledged)):
            by_number = sorted(messages, key=lambda message: message.number)
            sequences = [message.sequence or 0 for message in by_number]
            assert sequences == sorted(sequences), f"sequence numbers against the order of sending: {by_number}"

    def verify_order(self) -> None:
        """No message of a group was delivered while an earlier one of the group was still there.

        Unless both came with one answer, the earlier one first. A message is gone when its deletion was asked for and
        it was never seen again.
        """
        for messages in self._by_group(lambda message: bool(message.deliveries)):
            messages.sort(key=lambda message: message.sequence or 0)
            for index, message in enumerate(messages):
                for delivery in message.deliveries:
                    for earlier in messages[:index]:
                        assert _was_gone(earlier, delivery), f"{delivery} of {message} before {earlier}"

    def _by_group(self, wanted: Callable[[Message], bool]) -> Iterator[list[Message]]:
        groups: dict[str, list[Message]] = defaultdict(list)
        for message in self.messages.values():
            if message.group is not None and wanted(message):
                groups[message.group].append(message)
        yield from groups.values()


def _was_gone(earlier: Message, delivery: Delivery) -> bool:
    """Return whether ``earlier`` was out of the way when ``delivery`` happened."""
    last = earlier.deliveries[-1]
    together = [each for each in earlier.deliveries if each.place[0] == delivery.place[0]]
    if together:
        return together[0].place < delivery.place
    return last.delete_asked is not None and last.delete_asked < delivery.place[0]
