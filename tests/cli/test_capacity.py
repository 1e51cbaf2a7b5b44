"""`penstock capacity`: the arithmetic holds, follows its data file, and is what the document shows."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from typer.testing import CliRunner

from bench import scaling
from penstock.cli.capacity import MOST_BUSY, Load, Plan, between, measured, plan
from penstock.cli.main import app
from penstock.core.errors import InvalidRequest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"


def planned(store: str = "redis", rate: float = 1000, **more: Any) -> Plan:
    return plan(Load(store=store, messages_per_second=rate, **more), measured())


def test_what_waits_after_an_outage_is_rate_by_time_by_bytes() -> None:
    found = planned(outage_days=2, body_bytes=1000)
    assert found.backlog_messages == 1000 * 2 * 86_400
    per_message = 1000 + measured().stores["redis"].kept_bytes
    assert found.backlog_gib == pytest.approx(found.backlog_messages * per_message / 2**30)


def test_shards_have_room_for_the_outage_and_one_less_would_not() -> None:
    found = planned(outage_days=1, room_gib=8)
    assert found.bottleneck == "room"
    assert found.days_survived >= 1
    assert found.days_survived * (found.shards - 1) / found.shards < 1


def test_shards_have_cores_for_the_work_and_one_less_would_not() -> None:
    found = planned(rate=100_000, outage_days=0, batch=10)
    busy = 100_000 * between(measured().stores["redis"].store_us, 10) / 1e6
    assert found.bottleneck == "core"
    assert found.shards - 1 < busy / MOST_BUSY <= found.shards


@pytest.mark.parametrize("store", ["sqlite", "redis", "postgresql"])
def test_twice_the_load_never_takes_less(store: str) -> None:
    before = planned(store, 10)
    for rate in (20, 40, 80, 1000, 50_000):
        after = planned(store, rate, replicas=1)
        for name in ("client_mbit", "replication_mbit", "backlog_gib", "server_cores", "store_cores", "shards"):
            assert getattr(after, name) >= getattr(before, name), name
        before = after


def test_batches_cost_less_and_the_costs_are_those_that_were_measured() -> None:
    pair = measured().stores["redis"].store_us
    assert (between(pair, 1), between(pair, 10)) == pytest.approx(pair)
    assert planned(rate=20_000, batch=10).server_cores < planned(rate=20_000).server_cores


def test_a_store_of_one_machine_says_what_it_cannot() -> None:
    assert planned("sqlite", 10, outage_days=0.1).warnings == ()
    assert "one writer" in " ".join(planned("sqlite", 5000, outage_days=0.01).warnings)
    assert "no room" in " ".join(planned("postgresql", 5000, outage_days=30).warnings)


def test_the_data_file_decides() -> None:
    costs = measured()
    redis = structs.replace(costs.stores["redis"], kept_bytes=0)
    changed = structs.replace(costs, stores={"redis": redis})
    load = Load(store="redis", messages_per_second=1000)
    assert plan(load, changed).backlog_gib < plan(load, costs).backlog_gib
    with pytest.raises(InvalidRequest, match="sqlite"):
        plan(structs.replace(load, store="sqlite"), changed)


@pytest.mark.parametrize(
    ("option", "value"), [("--rate", "0"), ("--store", "mysql"), ("--batch", "11"), ("--body-bytes", "0")]
)
def test_what_cannot_be_meant_is_refused(option: str, value: str) -> None:
    result = CliRunner().invoke(app, ["capacity", "--rate", "5", option, value])
    assert result.exit_code == 1
    assert "must be between" in result.stderr or "No costs are known" in result.stderr


def test_the_command_answers_people_and_programs() -> None:
    told = CliRunner().invoke(app, ["capacity", "--rate", "5000", "--store", "redis", "--outage-days", "0.5"]).stdout
    assert "216,000,000 messages" in told
    assert measured().measured_at in told
    as_json = CliRunner().invoke(app, ["capacity", "--rate", "5000", "--store", "redis", "--json"]).stdout
    assert json.loads(as_json)["shards"] == planned(rate=5000).shards


def test_the_document_shows_what_the_simulation_says() -> None:
    assert scaling.table() in DOCUMENT.read_text()


def test_the_document_shows_what_the_command_says() -> None:
    command = "penstock capacity --store redis --rate 5000 --batch 10 --outage-days 0.5 --replicas 1"
    document = DOCUMENT.read_text()
    assert command in document
    told = CliRunner().invoke(app, command.split()[1:]).stdout.splitlines()
    for line in told[:-1]:
        assert line.rstrip() in document, line
