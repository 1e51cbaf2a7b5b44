"""Huey on SQLite, with its defaults: acknowledged before the work."""

from huey import SqliteHuey

from bench.jobs import told

huey = SqliteHuey(filename=told.URL, results=False)


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
