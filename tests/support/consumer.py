"""A process of its own: consumes ``q`` of a store file and sends what it finished on to ``done``, until it is killed.

What it sends says in ``sender_id`` when it was received.

Run as ``python -m tests.support.consumer <store url> <owner> [hold]``; with ``hold`` it finishes nothing.
"""

import asyncio
import sys

from penstock.broker.local import LocalBroker
from penstock.core.effects import Effects, FollowUp
from penstock.core.messages import Draft
from penstock.core.operations import Receive, Settle
from penstock.core.settlements import Settlement
from penstock.store import open_store


async def main(url: str, owner: str, *, holds: bool) -> None:
    broker = LocalBroker(await open_store(url))
    print("ready", flush=True)
    while True:
        reply = await broker.perform(Receive("q", 3, 60, 100, owner=owner))
        if holds:
            print("holds", len(reply.deliveries), flush=True)
            continue
        settlements = tuple(
            Settlement(
                "q",
                each.receipt_handle,
                is_fenced=True,
                effects=Effects(
                    sends=(FollowUp("done", Draft(each.body, group_id=owner, sender_id=str(each.first_received_at))),)
                ),
            )
            for each in reply.deliveries
        )
        if settlements:
            await broker.perform(Settle(settlements))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], holds="hold" in sys.argv[3:]))
