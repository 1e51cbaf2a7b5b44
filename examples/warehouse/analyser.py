"""Analysers: each handles the events of one order as they come, until its Stop."""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from penstock import Events, Penstock

app = Penstock(os.environ.get("PENSTOCK_URL", "sqlite:///warehouse.db"))


@dataclass
class Event:
    """What the device of a picker says."""

    kind: Literal["Start", "Pick", "Skip", "Stop"]
    order_id: int
    item_id: int
    quantity: int
    container: str
    picklist_id: int
    username: str
    timestamp: datetime


@app.session(queue="warehouse", idle_seconds=2)
async def analyse(order: str, events: Events[Event]) -> int:
    """Return how many items of an order were picked."""
    picked = 0
    async for event in events:
        if event.kind == "Pick":
            picked += event.quantity
        elif event.kind == "Stop":
            break
    return picked
