"""HTTPS by certificate files."""

import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from penstock.store.memory import MemoryStore
from tests.support.server import running_server


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    files = (str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem"))
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return files


async def test_with_certificate_and_key_the_server_speaks_https(certificate: tuple[str, str]) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    async with running_server(MemoryStore(), tls_certificate=certificate[0], tls_key=certificate[1]) as url:
        assert url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(base_url=url, verify=trusting) as http:
            created = await http.post("/", data={"Action": "CreateQueue", "QueueName": "orders"})
            assert f"<QueueUrl>{url}/000000000000/orders</QueueUrl>" in created.text
        async with httpx.AsyncClient(base_url=url.replace("https", "http")) as http:
            with pytest.raises(httpx.TransportError):
                await http.get("/health/live")


async def test_files_that_do_not_belong_together_are_refused(certificate: tuple[str, str]) -> None:
    with pytest.raises(OSError, match=r"."):
        async with running_server(MemoryStore(), tls_certificate=certificate[0], tls_key=certificate[0]):
            pass
