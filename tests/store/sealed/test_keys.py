"""Which keys a store is opened with: where they come from, which ones it needs, and what is told of them."""

import base64
from pathlib import Path
from typing import Any

import pytest

from penstock.core.effects import Record
from penstock.core.errors import InvalidRequest, StoreUnavailable
from penstock.core.messages import Draft
from penstock.core.operations import DeleteRecords, FindRecords, GetRecords, PutRecords
from penstock.core.queues import QueueChanges
from penstock.store import open_store
from penstock.store.memory import MemoryStore
from penstock.store.sealed.keys import keyring_of
from penstock.store.sealed.notice import NOTICE_KEY
from penstock.store.sealed.opening import FILE_VARIABLE, VARIABLE, EncryptionKeyMissing, encryption_of, plain, sealed
from tests.store.sealed.conftest import Place, plain_store
from tests.support.encryption import FIRST_KEY, SECOND_KEY, environment, keyring
from tests.support.entropy import own_id
from tests.support.world import World


async def test_without_keys_there_is_nothing_between(tmp_path: Path) -> None:
    store = MemoryStore()
    assert await sealed(store, {}) is store
    assert plain(store) is store
    assert await encryption_of(store) is None


async def test_the_store_that_a_url_names_is_sealed_with_the_keys_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/penstock.db"
    monkeypatch.setenv(VARIABLE, FIRST_KEY)
    store = await open_store(url)
    encryption = await encryption_of(store)
    await store.aclose()
    assert encryption is not None
    assert (encryption.seals, encryption.missing) == (keyring(FIRST_KEY).ids[0], ())
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(EncryptionKeyMissing, match=f"sealed with key {encryption.seals}") as refused:
        await open_store(url)
    assert VARIABLE in (refused.value.problem.hint or "")
    monkeypatch.setenv(VARIABLE, SECOND_KEY)
    with pytest.raises(EncryptionKeyMissing):
        await open_store(url)
    file = tmp_path / "keys"
    file.write_text(f"{SECOND_KEY}\n{FIRST_KEY}\n")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    store = await open_store(url)
    encryption = await encryption_of(store)
    await store.aclose()
    assert encryption is not None
    assert encryption.seals == keyring(SECOND_KEY).ids[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no key"),
        ("clear", "has no key"),
        ("short", "key 1 is not 32 bytes"),
        (f"{FIRST_KEY},{FIRST_KEY[:-2]}", "key 2 is not 32 bytes"),
        (f"{FIRST_KEY},clear", "key 2 is not 32 bytes"),
        ("ä" * 43, "key 1 is not"),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        keyring_of(text, "The test")
    assert FIRST_KEY[:20] not in str(refused.value)


async def test_a_file_that_cannot_be_read_and_two_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        await sealed(MemoryStore(), {FILE_VARIABLE: str(tmp_path / "none")})
    with pytest.raises(InvalidRequest, match="both set"):
        await sealed(MemoryStore(), {FILE_VARIABLE: "x", **environment(FIRST_KEY)})


def test_a_key_may_be_written_in_either_alphabet_and_without_padding() -> None:
    secret = bytes(range(224, 256))
    written = [base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode().rstrip("=")]
    assert len({keyring_of(each, "The test").ids for each in written}) == 1


@pytest.mark.parametrize("keys", [(), (FIRST_KEY,)])
async def test_a_store_whose_shard_that_knows_is_away_is_opened_all_the_same(
    keys: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    class Away(MemoryStore):
        is_away = True

        async def get_records(self, *arguments: Any) -> Any:
            if self.is_away:
                raise StoreUnavailable("The shard is away.")
            return await super().get_records(*arguments)

    store = Away()
    opened = await sealed(store, environment(*keys) if keys else {})
    assert "not known now: The shard is away." in caplog.text
    store.is_away = False
    await opened.create_queue("q", QueueChanges(), 0, 0)
    await opened.send("q", [Draft("body", message_id=own_id(1))], 0)
    (delivery,) = (await opened.receive("q", [bytes(12)], None, 0)).deliveries
    assert delivery.body == "body"


def test_nothing_shows_a_key() -> None:
    keys = keyring(FIRST_KEY, SECOND_KEY)
    shown = f"{keys!r} {keys.first!r} {keys.ids}"
    for key in (FIRST_KEY, SECOND_KEY):
        secret = base64.b64decode(key)
        assert key[:10] not in shown
        assert secret.hex()[:8] not in shown


async def test_the_notice_is_not_among_the_records_that_callers_see(sealed: World) -> None:
    records = tuple(Record(key, b"") for key in ("a", "~a", "~z"))
    await sealed.perform(PutRecords(records))
    assert (await plain_store(sealed).get_records([NOTICE_KEY], sealed.now))[0] is not None
    for prefix in ("", "~", NOTICE_KEY):
        for limit in (1, 2, 10):
            for is_descending in (False, True):
                found, after = [], ""
                while True:
                    page = await sealed.perform(FindRecords(prefix, None, after, limit, is_descending))
                    found += [each.key for each in page.records]
                    if page.next_after is None:
                        break
                    after = page.next_after
                wanted = sorted((each.key for each in records if each.key.startswith(prefix)), reverse=is_descending)
                assert found == wanted
    assert (await sealed.perform(GetRecords((NOTICE_KEY,)))).records == (None,)
    for asked in (PutRecords((Record(NOTICE_KEY, b""),)), DeleteRecords((NOTICE_KEY,))):
        with pytest.raises(InvalidRequest, match="the store's own"):
            await sealed.perform(asked)
    for effects in ({"records": (Record(NOTICE_KEY, b""),)}, {"forgets": (NOTICE_KEY,)}):
        with pytest.raises(InvalidRequest, match="the store's own"):
            await sealed.apply(**effects)


async def test_it_can_be_turned_on_and_off_where_there_is_something(place: Place) -> None:
    async with place.opened() as world:
        await world.create("q")
        await world.send("q", "clear")
        await world.perform(PutRecords((Record("key", b"clear"),)))
    async with place.opened(FIRST_KEY) as world:
        await world.send("q", "sealed")
        assert await world.receive_bodies("q") == ["clear", "sealed"]
        assert (await world.perform(GetRecords(("key",)))).records[0].value == b"clear"
    place.clock.advance(60)
    async with place.opened("clear", FIRST_KEY) as world:
        await world.send("q", "clear again")
        assert sorted(await world.receive_bodies("q")) == ["clear", "clear again", "sealed"]
    assert b"clear again" in place.files()
