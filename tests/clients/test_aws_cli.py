"""The AWS CLI, version 1, in its own protocol and made to speak Query, configured by environment variables alone."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.checksums import md5_of_body
from tests.clients.served import PATIENCE_SECONDS, Served
from tests.clients.ways import QUERY_MODEL

Named = Callable[[str], str]


class Cli:
    """Runs commands of ``aws sqs``.

    Args:
        server: whom to call.
        process: of ``aws_commands``.
    """

    def __init__(self, server: Served, process: "subprocess.Popen[str]") -> None:
        self._server = server
        self._process = process

    def __call__(self, *words: str) -> Any:
        """Return the answer of a command that must succeed."""
        status, out, err = self._run(words)
        assert status == 0, err
        return json.loads(out) if out.strip() else {}

    def failure(self, *words: str) -> str:
        """Return what a command says that must fail."""
        status, _, err = self._run(words)
        assert status != 0
        return err

    def _run(self, words: tuple[str, ...]) -> tuple[int, str, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = ["--endpoint-url", self._server.url, "--output", "json", "sqs", *words]
        print(json.dumps(command), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the CLI ended"
        status, out, err = json.loads(answer)
        return status, out, err


@pytest.fixture(params=["json", "query"])
def aws(request: pytest.FixtureRequest, served_with_keys: Served) -> Iterator[Cli]:
    environment = served_with_keys.environment
    if request.param == "query":
        environment["AWS_DATA_PATH"] = str(QUERY_MODEL)
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("aws_commands.py")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    alarm = threading.Timer(PATIENCE_SECONDS, process.kill)
    alarm.start()
    try:
        yield Cli(served_with_keys, process)
    finally:
        alarm.cancel()
        process.kill()
        process.communicate()


def test_a_day_of_a_standard_queue(aws: Cli, named: Named) -> None:
    dead = aws("create-queue", "--queue-name", named("dead"))["QueueUrl"]
    told = aws("get-queue-attributes", "--queue-url", dead, "--attribute-names", "QueueArn")
    dead_arn = told["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": "1"})
    settings = {"VisibilityTimeout": "0", "RedrivePolicy": policy}
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
        sent = aws("send-message", "--queue-url", url, "--message-body", body, "--message-group-id", "g")
        assert sent["SequenceNumber"]
    take = ("receive-message", "--queue-url", url, "--max-number-of-messages", "10", "--attribute-names", "All")
    messages = aws(*take)["Messages"]
    assert [each["Body"] for each in messages] == ["first", "second"]
    assert {each["Attributes"]["MessageGroupId"] for each in messages} == {"g"}


def test_the_command_itself_finds_the_server_by_flag_or_in_a_region_that_aws_does_not_have(
    served_with_keys: Served, named: Named
) -> None:
    def run(*words: str, **environment: str) -> Any:
        aws = Path(sys.executable).with_name("aws")
        done = subprocess.run(
            [aws, *words],
            env={**served_with_keys.environment, **environment},
            capture_output=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        return json.loads(done.stdout)

    create = ("sqs", "create-queue", "--queue-name", named("flag"))
    assert run("--endpoint-url", served_with_keys.url, *create)["QueueUrl"].startswith(served_with_keys.url)
    # in AWS's regions version 1 calls AWS in spite of AWS_ENDPOINT_URL_SQS: its table of host names comes first
    assert run(*create, AWS_DEFAULT_REGION="local-1", AWS_REGION="local-1")["QueueUrl"].startswith(served_with_keys.url)
