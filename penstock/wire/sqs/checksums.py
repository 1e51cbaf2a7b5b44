"""The MD5s by which SDKs check that nothing was lost on the way.

Source: SQS developer guide, "Calculating the MD5 message digest for message attributes".
"""

from collections.abc import Mapping
from hashlib import md5

from penstock.core.messages import Attribute


def md5_of_body(body: bytes) -> str:
    """Return the MD5 of a body in UTF-8, in hex."""
    return md5(body, usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, Attribute]) -> str | None:
    """Return the MD5 of message attributes in hex, ``None`` where there are none.

    In order of their names: name, data type, one byte for the kind of value, value; each after its length.
    """
    if not attributes:
        return None
    digest = md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        digest.update(_sized(name.encode()))
        digest.update(_sized(attribute.data_type.encode()))
        if attribute.binary_value is not None:
            digest.update(b"\x02" + _sized(attribute.binary_value))
        else:
            digest.update(b"\x01" + _sized((attribute.string_value or "").encode()))
    return digest.hexdigest()


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value
