"""Who called: an address that nobody can forge from outside the trusted networks."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import addresses

TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


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
        (None, "203.0.113.9", None),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str | None, forwarded: str | None, expected: str | None) -> None:
    assert addresses.client_address(peer, forwarded, TRUSTED) == expected


@given(forwarded=st.text(max_size=200))
def test_a_stranger_cannot_choose_the_address(forwarded: str) -> None:
    assert addresses.client_address("198.51.100.7", forwarded, TRUSTED) == "198.51.100.7"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost", "http://[::1]:80", "https://127.3.4.5"])
def test_loopback_is_recognised(url: str) -> None:
    assert addresses.is_loopback(url)


@pytest.mark.parametrize("url", ["https://api.case.dev", "http://10.0.0.1", "http://127.0.0.1.example.com", ""])
def test_nothing_else_is_taken_for_loopback(url: str) -> None:
    assert not addresses.is_loopback(url)


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
    assert addresses.below({"path": path, "root_path": root, "app_root_path": outer}) == below
