"""The AWS CLI, version 1, in its own protocol and made to speak Query, configured by environment variables alone."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.checksums import md5_of_body
from tests.clients.served import PATIENCE_SECONDS, Served
from tests.clients.ways import QUERY_MODEL

Named = Callable[[str], str]


class Cli:
    """Runs ``aws sqs``.

    Args:
        environment: endpoint and keys are in it.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *words: str) -> Any:
        """Return the answer of a command that must succeed."""
        done = self._run(words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def failure(self, *words: str) -> str:
        """Return what a command says that must fail."""
        done = self._run(words)
        assert done.returncode != 0
        return done.stderr

    def _run(self, words: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        aws = Path(sys.executable).with_name("aws")
        return subprocess.run(
            [aws, "--output", "json", "sqs", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )


@pytest.fixture(params=["json", "query"])
def aws(request: pytest.FixtureRequest, served_with_keys: Served) -> Cli:
    environment = served_with_keys.environment
    if request.param == "query":
        environment["AWS_DATA_PATH"] = str(QUERY_MODEL)
    return Cli(environment)


def test_a_day_of_a_standard_queue(aws: Cli, named: Named) -> None:
    dead = aws("create-queue", "--queue-name", named("dead"))["QueueUrl"]
    dead_arn = aws("get-queue-attributes", "--queue-url", dead, "--attribute-names", "QueueArn")["Attributes"]["QueueArn"]
    settings = {"VisibilityTimeout": "0", "RedrivePolicy": f'{{"deadLetterTargetArn":"{dead_arn}","maxReceiveCount":"1"}}'}
    create = ("create-queue", "--queue-name", named("work"), "--attributes", json.dumps(settings))
    url = aws(*create, "--tags", "team=blue")["QueueUrl"]
    assert aws("list-queue-tags", "--queue-url", url)["Tags"] == {"team": "blue"}

    entries = [{"Id": str(number), "MessageBody": f"message {number}"} for number in range(10)]
    sent = aws("send-message-batch", "--queue-url", url, "--entries", json.dumps(entries))["Successful"]
    assert [each["MD5OfMessageBody"] for each in sent] == [md5_of_body(each["MessageBody"]) for each in entries]

    take = ("receive-message", "--max-number-of-messages", "10", "--wait-time-seconds", "5", "--queue-url")
    assert len(aws(*take, url)["Messages"]) == 10
    assert aws("receive-message", "--queue-url", url) == {}
    spent = aws(*take, dead, "--visibility-timeout", "0", "--attribute-names", "All")["Messages"]
    assert len(spent) == 10
    assert {each["Attributes"]["ApproximateReceiveCount"] for each in spent} == {"2"}

    aws("start-message-move-task", "--source-arn", dead_arn)
    (first, *_) = aws(*take, url)["Messages"]
    handle = ("--queue-url", url, "--receipt-handle", first["ReceiptHandle"])
    aws("change-message-visibility", *handle, "--visibility-timeout", "60")
    aws("delete-message", *handle)
    aws("purge-queue", "--queue-url", url)
    assert named("work") in aws("list-queues", "--queue-name-prefix", named("work"))["QueueUrls"][0]
    aws("delete-queue", "--queue-url", url)
    said = aws.failure("get-queue-url", "--queue-name", named("work"))
    assert "(AWS.SimpleQueueService.NonExistentQueue) when calling the GetQueueUrl operation" in said


def test_a_day_of_a_fifo_queue(aws: Cli, named: Named) -> None:
    settings = "FifoQueue=true,ContentBasedDeduplication=true"
    url = aws("create-queue", "--queue-name", named("day.fifo"), "--attributes", settings)["QueueUrl"]
    for body in ("first", "second", "first"):
        assert aws("send-message", "--queue-url", url, "--message-body", body, "--message-group-id", "g")["SequenceNumber"]
    take = ("receive-message", "--queue-url", url, "--max-number-of-messages", "10", "--message-system-attribute-names", "All")
    messages = aws(*take)["Messages"]
    assert [each["Body"] for each in messages] == ["first", "second"]
    assert {each["Attributes"]["MessageGroupId"] for each in messages} == {"g"}
