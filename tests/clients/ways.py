"""The ways in which boto3 reaches a server: in today's protocol or the former one, keys checked or not."""

from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from tests.clients.served import Served

QUERY_MODEL = Path(__file__).with_name("query_model")
WAYS = ("json", "query", "json-with-keys", "query-with-keys")


def boto3_session(way: str) -> boto3.session.Session:
    """Return a session whose clients speak as a way says."""
    core = botocore.session.Session()
    if way.startswith("query"):
        core.set_config_variable("data_path", str(QUERY_MODEL))
    return boto3.session.Session(botocore_session=core)


def server_of(way: str, request: pytest.FixtureRequest) -> Served:
    """Return the server that a way leads to."""
    found: Served = request.getfixturevalue("served_with_keys" if way.endswith("with-keys") else "served")
    return found


def protocol_of(client: Any) -> str:
    """Return the protocol a client speaks."""
    return str(client.meta.service_model.resolved_protocol)
