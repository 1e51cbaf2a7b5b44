"""What proxies say of a request: believed from where they are, and only as far as they can know it."""

import pytest

from penstock.server.proxies import Origin, Proxies

TRUSTED = Proxies(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"])


def client_of(*forwarded: str, source: str = "10.0.0.1") -> str:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return TRUSTED.origin(source, "http", headers).source_ip


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("10.255.0.1", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8:1::1", True),
        ("2001:db9::1", False),
        ("::ffff:10.0.0.1", True),
        ("", False),
        ("somewhere", False),
    ],
)
def test_networks_say_who_is_trusted(address: str, is_trusted: bool) -> None:
    assert TRUSTED.are_trusted(address) is is_trusted
    assert not Proxies([]).are_trusted(address)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ((), "10.0.0.1"),
        (("198.51.100.1",), "198.51.100.1"),
        (("203.0.113.9, 198.51.100.1",), "198.51.100.1"),
        (("203.0.113.9", "198.51.100.1"), "198.51.100.1"),
        (("198.51.100.1, 10.0.0.2, 10.0.0.3",), "198.51.100.1"),
        (("10.0.0.9, 10.0.0.2",), "10.0.0.9"),
        (("198.51.100.1:4711",), "198.51.100.1"),
        (("[2001:db9::1]:4711",), "2001:db9::1"),
        (("2001:db9::1",), "2001:db9::1"),
        (("198.51.100.1, unknown",), "10.0.0.1"),
        (("198.51.100.1, unknown, 10.0.0.2",), "10.0.0.2"),
        (("' OR 1=1",), "10.0.0.1"),
    ],
)
def test_the_client_is_the_rightmost_that_is_no_trusted_proxy(forwarded: tuple[str, ...], client: str) -> None:
    assert client_of(*forwarded) == client


def test_scheme_and_host_are_those_of_the_nearest_proxy() -> None:
    headers = [
        (b"x-forwarded-proto", b"http, HTTPS"),
        (b"x-forwarded-host", b"evil.example, queues.example.com"),
    ]
    assert TRUSTED.origin("10.0.0.1", "http", headers) == Origin("10.0.0.1", "https", b"queues.example.com")
    assert TRUSTED.origin("10.0.0.1", "http", [(b"x-forwarded-proto", b"gopher")]) == Origin("10.0.0.1", "http", b"")
