"""What a store's URL may say, and what `penstock check` tells of a PostgreSQL server."""

import pytest

from penstock.core.errors import InvalidRequest
from penstock.store import examine, open_store
from penstock.store.postgres.options import options_from
from tests.support.postgres import shared_server

URL = "postgresql://me:secret@host:5433/db"


def test_what_the_store_does_not_know_is_the_drivers() -> None:
    options = options_from(f"{URL}?schema=queues&sslmode=require&connections=6")
    assert (options.dsn, options.schema, options.connections) == (f"{URL}?sslmode=require", "queues", 6)


def test_a_pooler_in_between_means_no_notifications() -> None:
    assert options_from(URL).wakeups == "listen"
    assert options_from(f"{URL}?pgbouncer=yes").wakeups == "poll"


def test_a_place_is_told_without_the_password() -> None:
    assert options_from(URL).place == "host:5433/db"


@pytest.mark.parametrize(
    "option", ["schema=a.b", "durability=most", "connections=1", "pgbouncer=maybe", "statement_timeout=-1"]
)
def test_an_option_that_cannot_be_meant_is_refused(option: str) -> None:
    with pytest.raises(InvalidRequest, match=option.partition("=")[0]):
        options_from(f"{URL}?{option}")


def test_a_url_names_a_database() -> None:
    with pytest.raises(InvalidRequest, match="names no database"):
        options_from("postgresql://host")


async def test_check_warns_of_what_makes_a_queue_forget() -> None:
    url = f"{shared_server().url}?durability=off"
    store = await open_store(url)
    try:
        examination = await examine(store, url)
    finally:
        await store.aclose()
    assert examination.durability == "delayed"
    said = {each.found for each in examination.concerns}
    assert "fsync is off: a crash of its machine may destroy the database" in said
    assert "PostgreSQL answers before a commit is on disk" in said
