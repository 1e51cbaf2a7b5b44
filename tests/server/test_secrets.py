"""No secret is ever logged or answered: every way of proving who one is, right and wrong, with all that is logged."""

import asyncio
import base64
import logging
from collections.abc import Iterator

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from penstock.server.directory import passwords
from penstock.server.options import Key
from penstock.store.memory import MemoryStore
from tests.support.server import serving

KEY = Key("ADMIN", "a-secret-of-the-configuration")
MASTER = "a-master-key-of-more-than-thirty-two-characters"
PASSWORD = "a-password-of-somebody"
WRONG = "a-wrong-secret-that-somebody-tried"


class Lines(logging.Handler):
    """Keeps all that is logged, but by clients."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] not in ("boto3", "botocore", "urllib3", "httpcore", "httpx"):
            self.lines.append(f"{record.name} {self.format(record)}")


@pytest.fixture
def logged() -> Iterator[list[str]]:
    root, lines = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    yield lines.lines
    root.removeHandler(lines)
    root.setLevel(level)


async def test_no_secret_is_logged_or_answered(logged: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", (1 << 4, 8, 1))
    answers: list[str] = []
    async with serving(MemoryStore(), keys=(KEY,), master_keys=(MASTER,)) as server, httpx.AsyncClient() as http:
        http.base_url = httpx.URL(server.url)

        async def ask(method: str, path: str, **more: object) -> httpx.Response:
            answer = await http.request(method, path, **more)  # type: ignore[arg-type]
            answers.append(f"{answer.headers} {answer.text}")
            return answer

        admin = {"authorization": f"Bearer {KEY.access_key_id}:{KEY.secret}"}
        made = (await http.post("/access/keys", json={"allow": ["view"]}, headers=admin)).json()
        kept, secret = made["key"]["key_id"], made["secret"]
        user = {"name": "vera", "allow": ["view"], "password": PASSWORD}
        await ask("POST", "/access/users", json=user, headers=admin)
        for path in ("/v1/queues", "/?Action=ListQueues", "/aweq/get-stats", "/access/keys", "/metrics"):
            for key_id, half in ((KEY.access_key_id, KEY.secret), (kept, secret), (kept, WRONG), (WRONG, WRONG)):
                pair = f"{key_id}:{half}".encode()
                for value in (b"Bearer " + pair, b"Basic " + base64.b64encode(pair), b"Digest " + pair):
                    await ask("GET", path, headers={"authorization": value.decode()})
        for name, half in (("vera", PASSWORD), ("vera", WRONG), (kept, secret), (kept, WRONG)):
            await ask("POST", "/access/login", json={"name": name, "secret": half})
            await ask("POST", "/access/login", json={"nam": name, "secret": half})
            await ask("POST", "/access/login", content=f'{{"secret": "{half}"')
        token = next(iter(http.cookies.jar)).value
        await ask("GET", "/access/me")
        await ask("POST", "/access/logout", headers={"x-penstock-console": "1"})
        await ask("PATCH", "/access/users/vera", json={"password": WRONG, "x": 1}, headers=admin)
        for half in (secret, WRONG):
            client = boto3.client(
                "sqs",
                endpoint_url=server.url,
                region_name="us-east-1",
                aws_access_key_id=kept,
                aws_secret_access_key=half,
                config=Config(retries={"max_attempts": 1}),
            )
            try:
                await asyncio.to_thread(client.list_queues)
            except ClientError as error:
                answers.append(str(error))
    cookieless = "".join(answers).replace(f"penstock-{httpx.URL(server.url).port}={token}", "")
    text = "\n".join(logged)
    assert "penstock.audit" in text
    for each in (KEY.secret, secret, PASSWORD, MASTER, WRONG, str(token)):
        assert each not in text, each
    for each in (KEY.secret, secret, PASSWORD, MASTER):
        assert each not in cookieless, each
