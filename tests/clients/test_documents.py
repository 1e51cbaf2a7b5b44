"""What docs/clients.md says that no other test runs as it is written there."""

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from tests.clients.served import PATIENCE_SECONDS, Served

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "clients.md"


def test_the_shared_configuration_file_leads_boto3_here(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: Callable[[str], str]
) -> None:
    block = PAGE.read_text().partition("Or in `~/.aws/config`")[2].split("```")[1]
    config = tmp_path / "config"
    config.write_text(block.replace("http://localhost:3000", served.url))
    for name in [*os.environ]:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    client = boto3.Session(profile_name="penstock").client("sqs")
    assert client.meta.endpoint_url == served.url
    assert client.create_queue(QueueName=named("profile"))["QueueUrl"].startswith(served.url)
    client.close()


def test_the_curl_calls_of_query_work(served: Served) -> None:
    boto3_client = boto3.client("sqs", **{**served.arguments(), "region_name": "us-east-1"})
    boto3_client.create_queue(QueueName="orders")
    boto3_client.close()
    block = PAGE.read_text().partition("## Query by hand")[2].split("```")[1]
    answers = [
        subprocess.run(
            [*shlex.split(command.replace("http://localhost:3000", served.url)), "--silent", "--fail"],
            capture_output=True,
            check=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        ).stdout
        for command in block.strip().splitlines()
    ]
    assert "<MD5OfMessageBody>" in answers[0]
    assert "<Body>hello</Body>" in answers[1]


def test_curl_can_sign(served_with_keys: Served) -> None:
    said = subprocess.run(
        [
            *("curl", "--silent", "--aws-sigv4", "aws:amz:us-east-1:sqs", "--user", ":".join(served_with_keys.key)),
            *(f"{served_with_keys.url}/", "-d", "Action=CreateQueue", "-d", "QueueName=signed"),
        ],
        capture_output=True,
        check=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    ).stdout
    assert "<QueueUrl>" in said
