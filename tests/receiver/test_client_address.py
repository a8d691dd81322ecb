"""The address of a client: it cannot be forged from outside the trusted networks."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import client_address

TRUSTED = [ipaddress.ip_network(each) for each in ("10.0.0.0/8", "fd00::/8", "127.0.0.0/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", None, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "not an address", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        (None, "203.0.113.9", "203.0.113.9"),  # over a socket of this machine
        (None, None, None),
        ("testclient", "203.0.113.9", "testclient"),
        ("::ffff:10.0.0.1", "203.0.113.7:41234", "203.0.113.7"),
        ("::ffff:198.51.100.7", None, "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", '"[2001:db8::7]"', "2001:db8::7"),
        ("10.0.0.1", '"203.0.113.7:443"', "203.0.113.7"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("10.0.0.1", "2001:db8::7%eth0", "2001:db8::7"),
        ("10.0.0.1", 'for="[2001:db8::7]:4711";proto=https;by=10.0.0.1', "2001:db8::7"),
        ("10.0.0.1", "proto=http; For = 203.0.113.7 , for=10.0.0.9:80;by=x", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, , 10.0.0.2,,", "203.0.113.7"),
        ("10.0.0.1", "6.6.6.6, unknown", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, for=_hidden, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "6.6.6.6," * 100_000 + "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "6.6.6.6, " + "10.0.0.2," * 100_000, "10.0.0.2"),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str | None, forwarded: str | None, expected: str | None) -> None:
    assert client_address.behind_proxies(peer, forwarded, TRUSTED) == expected


@given(forwarded=st.text(max_size=200))
def test_an_untrusted_client_cannot_choose_the_address(forwarded: str) -> None:
    assert client_address.behind_proxies("198.51.100.7", forwarded, TRUSTED) == "198.51.100.7"


@given(forwarded=st.text(st.characters(), max_size=100))
def test_nothing_in_a_forwarding_header_raises(forwarded: str) -> None:
    found = client_address.behind_proxies("10.0.0.1", forwarded, TRUSTED)
    assert str(ipaddress.ip_address(found or "")) == found


def test_the_other_header_counts_only_where_the_first_one_is_missing() -> None:
    both = {"x-forwarded-for": "203.0.113.7", "forwarded": "for=6.6.6.6"}
    assert client_address.forwarding_header(both) == "203.0.113.7"
    assert client_address.forwarding_header({"forwarded": "for=203.0.113.7"}) == "for=203.0.113.7"
    assert client_address.forwarding_header({}) is None


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
        ("64:ff9b::203.0.113.7", "64:ff9b::203.0.113.8", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_addresses_of_one_network_share_an_origin(one: str, other: str, is_same: bool) -> None:
    assert (client_address.origin(one) == client_address.origin(other)) is is_same


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost", "http://[::1]:80", "https://127.3.4.5"])
def test_loopback_is_recognised(url: str) -> None:
    assert client_address.is_loopback(url)


@pytest.mark.parametrize("url", ["https://api.case.dev", "http://10.0.0.1", "http://127.0.0.1.example.com", ""])
def test_no_other_address_counts_as_loopback(url: str) -> None:
    assert not client_address.is_loopback(url)


@pytest.mark.parametrize(
    ("path", "root", "outer", "below"),
    [
        ("/v1/runs", "", "", "/v1/runs"),
        ("/runledger/v1/runs", "/runledger", "", "/v1/runs"),
        ("/api/runledger/v1/runs", "/api/runledger", "/api", "/v1/runs"),
        ("/runledger/v1/runs", "/api/runledger", "/api", "/v1/runs"),  # a proxy took /api off
        ("/runledgers/v1/runs", "/runledger", "", "/runledgers/v1/runs"),
    ],
)
def test_the_path_below_a_mount_is_found_whatever_a_proxy_took_off(
    path: str, root: str, outer: str, below: str
) -> None:
    assert client_address.path_below_mount({"path": path, "root_path": root, "app_root_path": outer}) == below


@pytest.mark.parametrize(
    ("scheme", "peer", "proto", "expected"),
    [
        ("https", "198.51.100.7", None, True),
        ("http", "10.0.0.1", "https", True),
        ("http", "198.51.100.7", "https", False),
        ("http", "10.0.0.1", "http", False),
    ],
)
def test_a_request_came_by_https_where_the_connection_or_a_trusted_proxy_says_so(
    scheme: str, peer: str, proto: str | None, expected: bool
) -> None:
    scope = {"scheme": scheme, "client": (peer, 1)}
    assert client_address.is_encrypted(scope, proto, TRUSTED) is expected
