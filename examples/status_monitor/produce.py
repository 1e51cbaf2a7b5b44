"""Produce tasks, then tell each change of their statuses until all have ended."""

import argparse
import asyncio
import random

from tasks import app, work


async def produce(count: int, longest_seconds: float) -> None:
    numbers = range(1, count + 1)
    jobs = await work.asend_many([(number, random.uniform(longest_seconds / 5, longest_seconds)) for number in numbers])
    names = {job.id: f"task_{number}" for number, job in zip(numbers, jobs, strict=True)}
    async for change in app.follow(names):
        print(f"[Monitor] Task {names[change.job.job_id]} is {change.status}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="how many tasks")
    parser.add_argument(
        "--longest", type=float, default=5, metavar="SECONDS", help="they take a fifth of it to all of it"
    )
    chosen = parser.parse_args()
    asyncio.run(produce(chosen.count, chosen.longest))
    app.close()


if __name__ == "__main__":
    main()
