"""Requests of the SQS JSON protocol, encoded once: what the load client sends is bytes, not calls."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

ACCESS_KEY_ID = "BENCHMARKKEY"
SECRET = "a-secret-of-the-benchmark"
REGION = "us-east-1"
BODY = "x" * 128


def encode(port: int, action: str, *, is_signed: bool = False, **parameters: Any) -> bytes:
    """Return a whole HTTP request.

    Args:
        port: of the server, for the ``Host`` header.
        action: of the API.
        is_signed: sign it with the benchmark's key, as an AWS SDK does.
        parameters: of the action.
    """
    body = json.dumps(parameters, separators=(",", ":")).encode()
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": f"127.0.0.1:{port}",
        "x-amz-target": f"AmazonSQS.{action}",
    }
    if is_signed:
        headers |= _signature(headers, body)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


class Template:
    """A request with a hole of fixed width, so that its length need not be counted again.

    Args:
        request: a whole HTTP request.
        hole: what stands in the hole, once or several times.
    """

    def __init__(self, request: bytes, hole: bytes) -> None:
        self._parts = request.split(hole)
        self._width = len(hole)

    def fill(self, *values: bytes) -> bytes:
        """Return the request with a value in each hole."""
        filled = [self._parts[0]]
        for value, part in zip(values, self._parts[1:], strict=True):
            assert len(value) == self._width
            filled += (value, part)
        return b"".join(filled)


def _signature(headers: dict[str, str], body: bytes) -> dict[str, str]:
    """Return the headers of an AWS Signature Version 4 (AWS General Reference, "Signing AWS API requests")."""
    instant = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = dict(sorted({**headers, "x-amz-date": instant}.items()))
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{instant[:8]}/{REGION}/sqs/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{instant}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {"x-amz-date": instant, "authorization": credential}
