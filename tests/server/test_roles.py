"""Each role against each operation, over HTTP: what it may do, it may; everything else is refused and changes nothing.

The operations are those of the vocabulary, so a new one fails here until somebody has decided who may do it.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from penstock.broker.contract import Broker
from penstock.broker.local import LocalBroker
from penstock.client.http import HttpBroker
from penstock.core.effects import Effects, FollowUp, Join, Record
from penstock.core.errors import AccessDenied, PenstockError
from penstock.core.messages import Draft
from penstock.core.operations import (
    Apply,
    CreateQueue,
    DescribeQueue,
    Find,
    ListQueues,
    Operation,
    Peek,
    ReadEvents,
    ReadHistory,
    Receive,
    Send,
    Settle,
    UpdateQueue,
    operation_types,
)
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.core.rights import ROLES, Grant, Rights, read_grant
from penstock.core.settlements import Settlement
from penstock.server.needs import RIGHT_OF
from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from tests.support.server import running_server

LOOKS = {"view", "operate", "admin"}
WORKS = {"operate", "admin"}
MAY = {
    "CreateQueue": {"admin"},
    "UpdateQueue": {"admin"},
    "DeleteQueue": {"admin"},
    "DescribeQueue": {*ROLES},
    "ListQueues": {*ROLES},
    "PurgeQueue": WORKS,
    "ListGroups": LOOKS,
    "UpdateGroup": WORKS,
    "Send": {"send", *WORKS},
    "Receive": {"receive", *WORKS},
    "Settle": {"receive", *WORKS},
    "ReleaseLeases": {"receive", *WORKS},
    "Apply": WORKS,
    "Cancel": WORKS,
    "DeleteMessages": WORKS,
    "Reschedule": WORKS,
    "Peek": LOOKS,
    "Find": LOOKS,
    "StartMove": WORKS,
    "CancelMove": WORKS,
    "ListMoves": LOOKS,
    "PutRecords": WORKS,
    "GetRecords": LOOKS,
    "DeleteRecords": WORKS,
    "FindRecords": LOOKS,
    "ReadHistory": LOOKS,
    "ReadEvents": LOOKS,
}
"""Who may do what with all queues, written down a second time: the table in the code must not prove itself."""

ANSWERED_IN_PART = {"ListQueues", "Find", "ReadHistory", "ReadEvents"}
OF_NO_QUEUE = {"Apply", "ReleaseLeases", "CancelMove", "PutRecords", "GetRecords", "DeleteRecords", "FindRecords"}


def one_of(kind: type[Operation[Any]], queue: str) -> Operation[Any]:
    """Return an operation of a kind, on a queue where it names one."""
    values: dict[str, Any] = {
        "queue": queue,
        "source": queue,
        "group_id": "g",
        "is_parked": True,
        "settings": QueueChanges(delay_seconds=1),
        "messages": (Draft("x"),),
        "settlements": (Settlement(queue, "x"),),
        "effects": Effects(sends=(FollowUp(queue, Draft("x")),), records=(Record("r", b""),)),
        "records": (Record("r", b""),),
        "keys": ("r",),
        "message_ids": ("00000000-0000-7000-8000-000000000000",),
        "message_id": "00000000-0000-7000-8000-000000000000",
        "deliver_at": 0,
        "owner": "somebody",
        "move_id": "00000000-0000-7000-8000-000000000000",
    }
    fields = [
        each.name for each in structs.fields(kind) if each.required or each.name in ("queue", "source", "deliver_at")
    ]
    return kind(**{name: values[name] for name in fields})


KEYS = tuple(Key(f"of-{role}", f"the secret of {role}", rights=Rights((Grant(role),))) for role in ROLES)
PARTS = tuple(Key(f"part-{role}", f"the secret of {role}", rights=Rights((Grant(role, "orders-*"),))) for role in ROLES)
NOBODY = Key("nobody", "the secret of nobody", rights=Rights(()))


class Callers:
    """Brokers over HTTP, one for each key."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: dict[str, HttpBroker] = {}

    def __call__(self, key: Key) -> Broker:
        if key.access_key_id not in self._made:
            self._made[key.access_key_id] = HttpBroker(self._url, token=f"{key.access_key_id}:{key.secret}")
        return self._made[key.access_key_id]

    async def aclose(self) -> None:
        for each in self._made.values():
            await each.aclose()


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    broker = LocalBroker(store)
    for queue in ("orders-eu", "billing"):
        await broker.perform(CreateQueue(queue, QueueChanges(history="all")))
        await broker.perform(Send(queue, (Draft(f"in {queue}"),)))
    return store


@pytest.fixture
async def callers(store: MemoryStore) -> AsyncIterator[Callers]:
    async with running_server(store, keys=(*KEYS, *PARTS, NOBODY)) as url:
        callers = Callers(url)
        yield callers
        await callers.aclose()


async def is_refused(broker: Broker, operation: Operation[Any]) -> bool:
    try:
        await broker.perform(operation)
    except AccessDenied:
        return True
    except PenstockError:
        pass  # they may, and it makes no sense
    return False


def test_somebody_has_decided_about_every_operation() -> None:
    names = {kind.__name__ for kind in operation_types()}
    assert names == set(MAY)
    assert {kind.__name__ for kind in RIGHT_OF} == names


async def test_each_role_may_do_what_it_is_for_and_nothing_else(callers: Callers) -> None:
    wrong = []
    for kind in operation_types():
        for role, key in zip(ROLES, KEYS, strict=True):
            refused = await is_refused(callers(key), one_of(kind, "nowhere"))
            if refused is (role in MAY[kind.__name__]):
                wrong.append(f"{role} {kind.__name__}: {'refused' if refused else 'allowed'}")
    assert not wrong


async def test_a_role_for_some_queues_is_none_for_others_nor_for_what_is_of_no_queue(callers: Callers) -> None:
    wrong = []
    for kind in operation_types():
        name = kind.__name__
        if name in ANSWERED_IN_PART:
            continue
        for role, key in zip(ROLES, PARTS, strict=True):
            may = role in MAY[name] and name not in OF_NO_QUEUE
            for queue, expected in (("orders-asia", may), ("billing", False)):
                if await is_refused(callers(key), one_of(kind, queue)) is expected:
                    wrong.append(f"{role}:orders-* {name} {queue}")
    assert not wrong


async def test_without_grants_nothing_is_allowed(callers: Callers) -> None:
    for kind in operation_types():
        assert await is_refused(callers(NOBODY), one_of(kind, "orders-eu")), kind


async def test_what_is_refused_changes_nothing(callers: Callers, store: MemoryStore) -> None:
    broker = LocalBroker(store)
    before = (await broker.perform(ListQueues())).queues
    viewer = callers(KEYS[[*ROLES].index("view")])
    for kind in operation_types():
        if "view" not in MAY[kind.__name__]:
            assert await is_refused(viewer, one_of(kind, "billing"))
    assert (await broker.perform(ListQueues())).queues == before


async def test_lists_and_looks_tell_of_the_queues_that_one_may_see(callers: Callers, store: MemoryStore) -> None:
    inside = LocalBroker(store)
    found = {}
    for queue in ("orders-eu", "billing"):
        (message,) = (await inside.perform(Peek(queue))).messages
        found[queue] = message.message_id
    viewer = callers(PARTS[[*ROLES].index("view")])
    assert [each.name for each in (await viewer.perform(ListQueues())).queues] == ["orders-eu"]
    ours, theirs = (await viewer.perform(Find((found["orders-eu"], found["billing"])))).messages
    assert ours is not None
    assert theirs is None
    assert (await viewer.perform(ReadHistory(found["orders-eu"]))).events
    assert not (await viewer.perform(ReadHistory(found["billing"]))).events
    assert {each.queue for each in (await viewer.perform(ReadEvents())).events} == {"orders-eu"}


async def test_who_operates_a_queue_may_pause_it_and_change_nothing_else_of_it(callers: Callers) -> None:
    operator = callers(PARTS[[*ROLES].index("operate")])
    await operator.perform(UpdateQueue("orders-eu", QueueChanges(is_paused=True)))
    assert (await operator.perform(DescribeQueue("orders-eu"))).queue.settings.is_paused
    with pytest.raises(AccessDenied):
        await operator.perform(UpdateQueue("orders-eu", QueueChanges(is_paused=False, delay_seconds=1)))


async def test_nobody_lets_messages_flow_where_they_may_not_send(callers: Callers) -> None:
    admin = callers(PARTS[[*ROLES].index("admin")])
    redrive = QueueChanges(redrive=RedrivePolicy("billing", 1))
    for operation in (UpdateQueue("orders-eu", redrive), CreateQueue("orders-x", redrive)):
        assert await is_refused(admin, operation)
    operator = callers(PARTS[[*ROLES].index("operate")])
    (delivery,) = (await operator.perform(Receive("orders-eu"))).deliveries
    onward = Effects(sends=(FollowUp("billing", Draft("x")),))
    joined = Effects(joins=(Join("j", 1, FollowUp("orders-eu", Draft("x"))),))
    for effects in (onward, joined):
        assert await is_refused(operator, Settle((Settlement("orders-eu", delivery.receipt_handle, effects=effects),)))
        assert await is_refused(operator, Apply(effects))
    within = Effects(sends=(FollowUp("orders-eu", Draft("x")),))
    reply = await operator.perform(Settle((Settlement("orders-eu", delivery.receipt_handle, effects=within),)))
    assert reply.outcomes[0].problem is None


@pytest.mark.parametrize(
    ("pattern", "queue", "matches"),
    [
        ("*", "orders", True),
        ("orders-*", "orders-eu", True),
        ("orders-*", "orders", False),
        ("orders-*", "xorders-eu", False),
        ("orders-?", "orders-1", True),
        ("orders-?", "orders-12", False),
        ("orders", "eu-west-1/111122223333/orders", True),
        ("orders", "ORDERS", False),
        ("*", "", True),
        ("orders-*", "", False),
    ],
)
def test_a_pattern_means_names_of_queues(pattern: str, queue: str, matches: bool) -> None:
    rights = Rights((Grant("view", pattern),))
    assert [rights.allows(right, queue) for right in ROLES["view"]] == [matches, matches]
    assert not any(rights.allows(right, queue) for right in ROLES["admin"] - ROLES["view"])


@pytest.mark.parametrize("text", ["", "lead", "view:", "view:a b", "view:[a]", "view:a/b", "VIEW", "view:" + "x" * 129])
def test_a_grant_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"role|matches no queue"):
        read_grant(text)
