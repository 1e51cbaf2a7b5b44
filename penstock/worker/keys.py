"""Ordered keys as people hold them: who waits, whether the key is parked, and how it goes on."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec import Struct, structs

from penstock.broker.contract import Broker
from penstock.core.errors import InvalidRequest, QueueNotFound
from penstock.core.filters import MessageFilter
from penstock.core.operations import ListGroups, Peek, PutRecords, UpdateGroup
from penstock.core.queues import GroupView
from penstock.worker.jobs import AsyncJob
from penstock.worker.records import Status, to_record
from penstock.worker.runtime import Runtime
from penstock.worker.status import JobView, is_blocking, look

T = TypeVar("T")

PAGE = 1000


class KeyView(Struct, frozen=True):
    """What is known of an ordered key.

    Attributes:
        key, queue: which.
        waiting: how many jobs it has, those that run included.
        is_parked: nothing of it runs until it is resumed.
        head: its first job.
    """

    key: str
    queue: str
    waiting: int
    is_parked: bool
    head: JobView | None


class AsyncOrderedKey:
    """An ordered key of a queue: its jobs run one at a time and in order."""

    def __init__(self, app: Runtime, key: str, queue: str) -> None:
        if not 1 <= len(key) <= 1000:
            raise InvalidRequest("A key has 1 to 1000 characters.", field="key")
        self.app = app
        self.key = key
        self.queue = queue

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r}, {self.queue!r})"

    async def look(self) -> KeyView:
        """Return all that is known of it."""
        return await self.app.portal.arun(self._look)

    async def is_parked(self) -> bool:
        """Return whether it waits until it is resumed."""
        return (await self.look()).is_parked

    async def resume(self) -> None:
        """Let it go on. A job that failed and blocks it is tried again, with all its attempts."""

        async def work(broker: Broker) -> None:
            view = await self._look(broker)
            if view.head is not None and is_blocking(view.head.message, view.head.record):
                await resume(broker, view.head)
            elif view.is_parked:
                await broker.perform(UpdateGroup(self.queue, self.key, is_parked=False))

        await self.app.portal.arun(work)

    async def skip_head(self) -> str:
        """Give up the first job, and let the key go on without it; what comes after that job in a workflow is skipped.

        Returns:
            The id of the job.

        Raises:
            InvalidRequest: there is none, or it runs.
        """
        view = await self.look()
        if view.head is None:
            raise InvalidRequest(f"There is nothing to skip: key {self.key!r} has no jobs.", field="key")
        if view.head.status is Status.RUNNING:
            raise InvalidRequest(
                f"Job {view.head.job_id}, the first of key {self.key!r}, is running.", hint="Cancel it.", field="key"
            )
        await AsyncJob[Any](self.app, view.head.job_id).cancel()

        async def unpark(broker: Broker) -> None:
            await broker.perform(UpdateGroup(self.queue, self.key, is_parked=False))

        if view.is_parked:
            await self.app.portal.arun(unpark)
        return view.head.job_id

    async def _look(self, broker: Broker) -> KeyView:
        try:
            found = await broker.perform(ListGroups(self.queue, after=_just_before(self.key), limit=1))
        except QueueNotFound:
            return KeyView(self.key, self.queue, 0, False, None)
        group = next((each for each in found.groups if each.group_id == self.key), GroupView(self.key, 0, 0, None))
        head = await self._head(broker) if group.waiting + group.in_flight else None
        return KeyView(self.key, self.queue, group.waiting + group.in_flight, group.is_parked, head)

    async def _head(self, broker: Broker) -> JobView | None:
        after: int | None = 0
        while after is not None:
            page = await broker.perform(Peek(self.queue, MessageFilter(group_id=self.key), after=after, limit=1))
            if page.messages:
                return (await look(broker, (page.messages[0].message_id,)))[0]
            after = page.next_after
        return None


class OrderedKey:
    """An ordered key, for code that is not async: the same as ``AsyncOrderedKey``, waiting for what it returns."""

    def __init__(self, key: AsyncOrderedKey) -> None:
        self._key = key
        self.key = key.key
        self.queue = key.queue

    def __repr__(self) -> str:
        return f"OrderedKey({self.key!r}, {self.queue!r})"

    def look(self) -> KeyView:
        """Return all that is known of it."""
        return self._run(self._key.look())

    def is_parked(self) -> bool:
        """Return whether it waits until it is resumed."""
        return self._run(self._key.is_parked())

    def resume(self) -> None:
        """Let it go on; see ``AsyncOrderedKey.resume``."""
        self._run(self._key.resume())

    def skip_head(self) -> str:
        """Give up the first job; see ``AsyncOrderedKey.skip_head``."""
        return self._run(self._key.skip_head())

    def _run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._key.app.portal.run(lambda _: asked)


async def resume(broker: Broker, head: JobView) -> None:
    """Let a key go on whose first job has failed and blocks it; that job begins anew."""
    message, record = head.message, head.record
    assert message is not None
    assert record is not None
    assert message.group_id is not None
    # the record first: should this end in between, the key is still parked, and this can be done again
    anew = structs.replace(record, status=Status.RETRYING, attempts=0, finished_at=None)
    await broker.perform(PutRecords((to_record(head.job_id, anew, None),)))
    await broker.perform(UpdateGroup(message.queue, message.group_id, is_parked=False))


async def parked_keys(app: Runtime, broker: Broker, queue: str) -> list[AsyncOrderedKey]:
    """Return the keys of a queue that wait until they are resumed."""
    keys: list[AsyncOrderedKey] = []
    after: str | None = ""
    while after is not None:
        try:
            page = await broker.perform(ListGroups(queue, after=after, limit=PAGE, only_parked=True))
        except QueueNotFound:
            return []
        keys += [AsyncOrderedKey(app, group.group_id, queue) for group in page.groups]
        after = page.next_after
    return keys


def _just_before(key: str) -> str:
    """Return a text that sorts before a key, and after every other key that does, as good as always."""
    last = ord(key[-1])
    if last == 0:
        return key[:-1]
    before = 0xD7FF if last == 0xE000 else last - 1  # what lies between are no characters
    return key[:-1] + chr(before) + chr(0x10FFFF)
