"""MD5 as SQS clients compute it, written from the developer guide ("Calculating the MD5 message digest")."""

import hashlib
from collections.abc import Mapping
from typing import Any


def md5_of_body(body: str) -> str:
    """Return the digest of a body."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, Any]) -> str:
    """Return the digest of message attributes, given as boto3 takes them."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        is_binary = "BinaryValue" in attribute
        value = attribute["BinaryValue"] if is_binary else attribute["StringValue"].encode()
        for part in (name.encode(), attribute["DataType"].encode()):
            digest.update(len(part).to_bytes(4, "big") + part)
        digest.update((b"\2" if is_binary else b"\1") + len(value).to_bytes(4, "big") + value)
    return digest.hexdigest()
