"""Where settings come from, which source wins, and what a wrong one is told."""

import inspect
from pathlib import Path

import pytest
from msgspec import UNSET

from penstock.cli import main
from penstock.config import ConfigurationInvalid, Settings, check_exposure, load
from penstock.core.errors import Problem
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.server.options import Key

DOCS = Path(__file__).parents[2] / "docs"
SECRET = "a secret of some length"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "penstock.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def wrong(text: str = "", **environment: str) -> Problem:
    written(text)
    with pytest.raises(ConfigurationInvalid) as caught:
        load({}, environment=environment)
    return caught.value.problem


def test_without_anything_there_are_defaults() -> None:
    settings = load({}, environment={})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.store_url) == ("127.0.0.1", 3000, "sqlite:///data/penstock.db")
    assert not settings.needs_keys


def test_flags_win_over_the_environment_and_that_over_the_file() -> None:
    written('port = 1\nhost = "localhost"\nregion = "eu-west-1"')
    file_only = load({}, environment={})
    assert (file_only.port, file_only.host, file_only.region) == (1, "localhost", "eu-west-1")
    assert load({}, environment={"PORT": "2"}).port == 2
    environment = {"PORT": "2", "PENSTOCK_PORT": "3", "PENSTOCK_REGION": "eu-west-2"}
    assert load({}, environment=environment).port == 3
    both = load({"port": 4, "host": None}, environment=environment)
    assert (both.port, both.host, both.region) == (4, "localhost", "eu-west-2")


def test_the_file_is_the_one_that_is_named() -> None:
    written("port = 1")
    written("port = 2", "named.toml")
    written("port = 3", "flagged.toml")
    assert load({}, environment={"PENSTOCK_CONFIG": "named.toml"}).port == 2
    assert load({}, environment={"PENSTOCK_CONFIG": "named.toml"}, file=Path("flagged.toml")).port == 3
    with pytest.raises(ConfigurationInvalid, match=r"missing\.toml cannot be read"):
        load({}, environment={}, file=Path("missing.toml"))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("prot = 1", "Did you mean port?"),
        ("[queues.orders]\nvisibility_timeout = 3", "Did you mean visibility_timeout_seconds?"),
        ("[queues.orders]\nxyz = {}", "There are: "),
        ("[[keys]]\naccess_key_id = 'a'\nsecrets = 'b'", "Did you mean secret?"),
    ],
)
def test_an_unknown_setting_is_told_the_nearest_known_one(text: str, hint: str) -> None:
    problem = wrong(text)
    assert problem.message.startswith("There is no setting ")
    assert str(problem.hint).startswith(hint)


def test_an_unknown_variable_is_told_the_nearest_known_one() -> None:
    assert wrong(PENSTOCK_PROT="1").hint == "Did you mean PENSTOCK_PORT?"


def test_what_kubernetes_sets_is_no_setting() -> None:
    environment = {
        "PENSTOCK_PORT": "tcp://10.0.0.7:80",
        "PENSTOCK_SERVICE_HOST": "10.0.0.7",
        "PENSTOCK_SERVICE_PORT_HTTP": "80",
        "PENSTOCK_PORT_80_TCP_ADDR": "10.0.0.7",
    }
    assert load({}, environment=environment) == Settings()


@pytest.mark.parametrize(
    "text",
    [
        "port = 'x'",
        "port = 65536",
        "port = -1",
        "limits = 'loose'",
        "dialect = 'amqp'",
        "account = '123'",
        "region = 'Europe'",
        "public_url = 'queues.example.com'",
        "tls_key = 'key.pem'",
        "master_key = 'too short'",
        "[[keys]]\naccess_key_id = 'a'\nsecret = 'a secret of some length'\nallow = ['lead:orders']",
        "[[keys]]\naccess_key_id = 'a'\nsecret = 'a secret of some length'\nallow = ['view:a queue']",
        "max_body_bytes = 1",
        "idle_seconds = -1",
        "keys = 1",
        "[[keys]]\naccess_key_id = 'a:b'\nsecret = 'a secret of some length'",
        "[[keys]]\naccess_key_id = 'a'\nsecret = 'short'",
        "[[keys]]\naccess_key_id = 'a'\nsecret = 'a secret of some length'\naccount = 'me'",
        "[[keys]]\naccess_key_id = 'a'",
        "queues = 1",
        "[queues.orders]\nvisibility_timeout_seconds = 'long'",
        "[queues.orders]\nmax_receive_count = 3",
        "[queues.orders]\ndead_letter_queue = 'dead'",
        "port = ",
        "\udcff",
    ],
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    Path("penstock.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationInvalid) as caught:
        load({}, environment={})
    assert "`" not in str(caught.value)


def test_a_refusal_names_its_source_and_the_meaning_of_the_setting() -> None:
    problem = wrong(PENSTOCK_PORT="many")
    assert problem.message.startswith("PENSTOCK_PORT: ")
    assert str(problem.hint).startswith("port: TCP port; ")
    assert problem.field == "port"


# -- keys ----------------------------------------------------------------------------------------------------------


def test_keys_make_callers_prove_themselves_unless_it_is_said_otherwise() -> None:
    written(f"account = '000000000001'\n[[keys]]\naccess_key_id = 'a'\nsecret = '{SECRET}'")
    settings = load({}, environment={})
    assert settings.needs_keys
    assert settings.server_options().keys == (Key("a", SECRET, "000000000001"),)
    assert load({"auth": "none"}, environment={}).server_options().keys == ()


def test_keys_may_come_from_the_environment() -> None:
    settings = load({}, environment={"PENSTOCK_KEYS": f"a:{SECRET}, b:{SECRET}:111122223333,"})
    assert [key.account for key in settings.server_options().keys] == ["000000000000", "111122223333"]
    assert "different" in wrong(PENSTOCK_KEYS=f"a:{SECRET},a:{SECRET}").message


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "queues.example.com"])
def test_strangers_are_not_served_by_accident(host: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="everybody"):
        check_exposure(load({"host": host}, environment={}))
    check_exposure(load({"host": host, "auth": "none"}, environment={}))
    check_exposure(load({"host": host}, environment={"PENSTOCK_KEYS": f"a:{SECRET}"}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_key(host: str) -> None:
    check_exposure(load({"host": host}, environment={}))


# -- queues and the store ------------------------------------------------------------------------------------------


def test_queues_are_declared_dead_letter_queues_first() -> None:
    written(
        """
        [queues.orders]
        visibility_timeout_seconds = 60
        tags = { team = "shop" }
        dead_letter_queue = "orders-dead"
        max_receive_count = 5
        partitions = 8
        partitioner = "qugo:4"
        [queues."steps.fifo"]
        content_based_deduplication = true
        [queues.orders-dead]
        """
    )
    changes = load({}, environment={}).queue_changes()
    assert list(changes) == ["orders-dead", "orders", "steps.fifo"]
    assert changes["orders-dead"] == QueueChanges()
    assert changes["orders"].redrive == RedrivePolicy("orders-dead", 5)
    assert changes["orders"].tags == {"team": "shop"}
    assert (changes["orders"].partitions, changes["orders"].partitioner) == (8, "qugo:4")
    assert (changes["orders"].is_fifo, changes["steps.fifo"].is_fifo) == (UNSET, True)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"store": "memory://"}, "memory://"),
        ({"data_directory": "/var/lib/pen stock"}, "sqlite:////var/lib/pen%20stock/penstock.db"),
        ({"data_directory": "here/there"}, "sqlite:///here/there/penstock.db"),
    ],
)
def test_the_store_is_in_the_data_directory_unless_it_is_named(settings: dict[str, str], url: str) -> None:
    assert load(settings, environment={}).store_url == url


def test_every_setting_is_explained() -> None:
    explained = str(Settings.__doc__)
    for name in Settings.__struct_fields__:
        assert f"{name}: " in explained or f"{name}, " in explained, name


def test_every_setting_is_in_the_documentation_with_its_flag_and_default() -> None:
    lines = (DOCS / "configuration.md").read_text().splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    assert set(rows) == set(Settings.__struct_fields__)
    flags = set(inspect.signature(main.serve).parameters) - {"config", "no_auth"}
    for name, row in rows.items():
        assert (f"`--{name.replace('_', '-')}`" in row) is (name in flags), row
        default = getattr(Settings(), name)
        if default not in (None, (), {}):
            shown = str(default).lower() if isinstance(default, bool) else default  # as TOML has it
            assert row.endswith(f"| `{shown}` |"), row


@pytest.mark.parametrize("name", ["aweq_checkout_seconds", "wq_lock_seconds"])
def test_leases_of_the_small_dialects_may_be_set(name: str) -> None:
    assert getattr(load({}, environment={}).server_options(), name) is None
    settings = load({}, environment={f"PENSTOCK_{name.upper()}": "2.5"})
    assert getattr(settings.server_options(), name) == 2.5
    for text in ("0", "-1", "43201", "long"):
        assert wrong(**{f"PENSTOCK_{name.upper()}": text}).field == name
