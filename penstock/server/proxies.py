"""What a proxy says of a request that it passes on. It is believed from the networks that the configuration names only:
anybody can send such headers."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from msgspec import Struct


class Origin(Struct, frozen=True):
    """Where a request really comes from.

    Attributes:
        source_ip: of the client.
        scheme: ``http`` or ``https``, as the client speaks.
        host: as the client calls the server; empty: as the request says.
    """

    source_ip: str
    scheme: str
    host: bytes


class Proxies:
    """The proxies that are believed.

    Args:
        networks: theirs, such as ``10.0.0.0/8``; an address is a network of one.

    Raises:
        ValueError: one is no network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(each) for each in networks)

    def are_trusted(self, address: str) -> bool:
        """Return whether what comes from an address is believed."""
        if not self._networks:
            return False
        parsed = _parsed(address)
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in self._networks
        )

    def origin(self, source_ip: str, scheme: str, headers: list[tuple[bytes, bytes]]) -> Origin:
        """Return where a request comes from that a trusted proxy sent.

        The addresses are read from the right: each was added by the one before it, and the first that is not a trusted
        proxy's is the client's. What stands further left the client may have made up.

        Args:
            source_ip: of the proxy.
            scheme: as the proxy speaks.
            headers: all of the request's, in order.
        """
        for address in reversed(_values(headers, b"x-forwarded-for")):
            parsed = _parsed(_without_port(address.decode("latin-1")))
            if parsed is None:
                break
            source_ip = str(parsed)
            if not self.are_trusted(source_ip):
                break
        schemes = [each.lower() for each in _values(headers, b"x-forwarded-proto")]
        if schemes and schemes[-1] in (b"http", b"https"):
            scheme = schemes[-1].decode()
        hosts = _values(headers, b"x-forwarded-host")
        return Origin(source_ip, scheme, hosts[-1] if hosts else b"")


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [part.strip() for key, value in headers if key == name for part in value.split(b",") if part.strip()]


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
