"""The device: sends the events of some orders, mixed, and then tells what has become of the orders."""

import argparse
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from analyser import Event, analyse, app


def events_of(order_id: int) -> Iterator[Event]:
    kinds = ["Start", *random.choices(["Pick", "Skip"], weights=(4, 1), k=3), "Stop"]
    if order_id % 5 == 0:
        kinds.pop()
    for number, kind in enumerate(kinds):
        yield Event(kind, order_id, number, random.randint(1, 5), f"C{order_id}", 1, "ada", datetime.now(UTC))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10)
    orders = range(1, parser.parse_args().orders + 1)
    streams = {order: list(events_of(order)) for order in orders}
    counts = {order: len(events) for order, events in streams.items()}
    while streams:
        order = random.choice(list(streams))
        analyse.send(str(order), streams[order].pop(0))
        if not streams[order]:
            del streams[order]
    outcomes = {"done": 0, "pending": 0}
    for order in orders:
        while (session := analyse.last(str(order))) is None or session.status not in outcomes:
            time.sleep(0.05)
        outcomes[session.status] += 1
        if session.status == "done":
            told = f"{session.event_count} events, {msgspec.json.decode(session.result)} items"
        else:
            told = f"no Stop after {counts[order]} events"
        print(f"order {order}: {session.status}, {told}")
    print(f"{outcomes['done']} done, {outcomes['pending']} pending")
    app.close()


if __name__ == "__main__":
    main()
