"""`penstock.testing`: a server inside the test process, quick to start, to empty and to move on in time."""

import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import penstock.testing
from penstock.testing.running import RunningServer
from tests.clients.served import PATIENCE_SECONDS, Served, until

pytest_plugins = ["pytester"]

ONE_SECOND_IS_SLOW = 1.0
Run = Callable[[], pytest.RunResult]


@pytest.fixture(scope="module")
def warm() -> None:
    """Everything is imported."""
    with penstock.testing.server() as server:
        server.client()


@pytest.fixture(params=["memory", "file"])
def server(request: pytest.FixtureRequest, tmp_path: Path, warm: None) -> Iterator[RunningServer]:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/queues.db"
    with penstock.testing.server(store) as running:
        yield running


def test_importing_it_imports_neither_pytest_nor_the_server_nor_an_sdk() -> None:
    heavy = "pytest, uvloop, boto3, asyncio, apsw"
    code = f"import sys, penstock.testing; print([each for each in '{heavy}'.split(', ') if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_server_starts_and_stops_in_well_under_a_second(warm: None) -> None:
    began = time.perf_counter()
    with penstock.testing.server() as server, urllib.request.urlopen(f"{server.url}/health/ready") as answer:
        assert answer.status == 200
    assert time.perf_counter() - began < ONE_SECOND_IS_SLOW
    assert not [thread for thread in threading.enumerate() if thread.name == "penstock-testing"]


def test_reset_deletes_every_queue_and_its_name_is_free_at_once(server: RunningServer) -> None:
    sqs = server.client()
    account = {"aws_access_key_id": "123456789012", "aws_secret_access_key": "any"}
    elsewhere = server.client(region_name="ap-south-1", **account)
    for _ in range(2):
        for client in (sqs, elsewhere):
            url = client.create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "7"})["QueueUrl"]
            client.send_message(QueueUrl=url, MessageBody="x")
        server.reset()
        assert "QueueUrls" not in sqs.list_queues()
        assert "QueueUrls" not in elsewhere.list_queues()


def test_reset_forgets_the_deduplication_of_a_fifo_queue(server: RunningServer) -> None:
    sqs = server.client()
    ids = set()
    for _ in range(2):
        fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        url = sqs.create_queue(QueueName="orders.fifo", Attributes=fifo)["QueueUrl"]
        ids.add(sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g")["MessageId"])
        assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
        server.reset()
    assert len(ids) == 2


def test_advancing_time_ends_leases_and_delays(server: RunningServer) -> None:
    sqs = server.client()
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=900)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    server.advance(900)
    assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=43_200)["Messages"][0]["Body"] == "x"
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    server.advance(43_200)
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "x"
    server.advance(4 * 86_400)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_advancing_time_wakes_a_long_poll(server: RunningServer) -> None:
    sqs = server.client()
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=900)
    server.advance(890)
    with ThreadPoolExecutor(1) as threads:
        poll = threads.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
        until(lambda: Served(server.url).waiting_count() == 1, "the poll is at the server")
        began = time.monotonic()
        server.advance(10)
        assert poll.result(PATIENCE_SECONDS)["Messages"][0]["Body"] == "x"
    assert time.monotonic() - began < 5


def test_limits_are_those_of_aws_but_nothing_has_to_be_waited_for(server: RunningServer) -> None:
    sqs = server.client()
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    with pytest.raises(ClientError, match="900"):
        sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=901)
    for _ in range(2):
        sqs.purge_queue(QueueUrl=url)
        sqs.delete_queue(QueueUrl=url)
        sqs.create_queue(QueueName="orders")


def test_cool_downs_can_be_had(warm: None) -> None:
    with penstock.testing.server(cool_downs=True) as server:
        sqs = server.client()
        url = sqs.create_queue(QueueName="orders")["QueueUrl"]
        sqs.purge_queue(QueueUrl=url)
        with pytest.raises(sqs.exceptions.PurgeQueueInProgress):
            sqs.purge_queue(QueueUrl=url)
        server.advance(60)
        sqs.purge_queue(QueueUrl=url)


def test_keys_are_checked_when_there_are_any(warm: None) -> None:
    with penstock.testing.server(keys={"AKIATESTING": "very secret"}) as server:
        server.client().create_queue(QueueName="orders")
        stranger = server.client(aws_access_key_id="AKIATESTING", aws_secret_access_key="wrong")
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            stranger.list_queues()


def test_a_file_keeps_messages_for_the_next_server(tmp_path: Path, warm: None) -> None:
    store = f"sqlite:///{tmp_path}/queues.db"
    with penstock.testing.server(store) as server:
        server.resource().create_queue(QueueName="orders").send_message(MessageBody="kept")
    with penstock.testing.server(store) as server:
        (message,) = server.resource().get_queue_by_name(QueueName="orders").receive_messages()
        assert message.body == "kept"


def test_a_store_that_cannot_be_opened_is_told_to_the_caller(warm: None) -> None:
    from penstock.core.errors import InvalidRequest

    with pytest.raises(InvalidRequest, match="no store"), penstock.testing.server("cassandra://"):
        pass


# -- the pytest plugin -------------------------------------------------------------------------------------------------


@pytest.fixture
def run_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    # without the other plugins that this project has installed, which take seconds to load
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return lambda: pytester.runpytest_subprocess("-p", "penstock.testing.plugin", "-p", "no:cacheprovider")


def test_pytest_finds_the_plugin_by_itself() -> None:
    assert [each.value for each in entry_points(group="pytest11", name="penstock")] == ["penstock.testing.plugin"]


def test_a_project_chooses_its_server_and_every_test_finds_it_without_queues(
    pytester: pytest.Pytester, run_pytest: Run
) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def penstock_options(tmp_path_factory):
            folder = tmp_path_factory.mktemp("store")
            return {"store": f"sqlite:///{folder}/queues.db", "keys": {"AKIAMINE": "my secret"}, "region": "eu-west-1"}
        """
    )
    pytester.makepyfile(
        """
        import boto3

        urls = set()

        def code_under_test():
            sqs = boto3.client("sqs")
            assert "QueueUrls" not in sqs.list_queues()
            return sqs.create_queue(QueueName="orders")["QueueUrl"]

        def test_one(penstock_aws):
            urls.add(penstock_aws.url)
            assert code_under_test().startswith(penstock_aws.url)

        def test_other(penstock_aws):
            url = code_under_test()
            assert url.startswith(penstock_aws.url)
            assert urls == {penstock_aws.url}
            told = penstock_aws.client().get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
            assert told["Attributes"]["QueueArn"].startswith("arn:aws:sqs:eu-west-1:")
        """
    )
    run_pytest().assert_outcomes(passed=2)


# -- the documentation -------------------------------------------------------------------------------------------------


def test_the_examples_of_the_documentation_run(pytester: pytest.Pytester, run_pytest: Run, repository: Path) -> None:
    blocks = _python_blocks(repository / "docs" / "testing.md")
    files = {f"test_example_{number}": block for number, block in enumerate(blocks) if "def test_" in block}
    scripts = [block for block in blocks if "def test_" not in block and "def penstock_options" not in block]
    assert files
    assert scripts
    pytester.makepyfile(**files)
    assert run_pytest().ret == 0
    for script in scripts:
        subprocess.run([sys.executable, "-c", script], cwd=pytester.path, check=True, timeout=30)


@pytest.fixture
def repository() -> Path:
    return Path(__file__).resolve().parent.parent.parent


def _python_blocks(page: Path) -> list[str]:
    return [block.partition("```")[0] for block in page.read_text().split("```python\n")[1:]]
