"""Huey on SQLite or Redis, with its defaults: acknowledged before the work."""

from huey import RedisHuey, SqliteHuey

from bench.jobs import told

is_on_redis = told.URL.startswith("redis:")
huey = RedisHuey(url=told.URL, results=False) if is_on_redis else SqliteHuey(filename=told.URL, results=False)


@huey.task()
def noop() -> None:
    told.ran()


@huey.task()
def stamp(sent_ns: int) -> None:
    told.started(sent_ns)


@huey.task()
def hang() -> None:
    told.hang()


send = noop
send_stamp = stamp
send_hang = hang


def send_many(count: int) -> None:
    for _ in range(count):
        noop()
