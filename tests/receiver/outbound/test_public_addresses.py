"""Which addresses are public: no IPv6 form of a private one is."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import client_address

PRIVATE = (
    *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254"),
    *("192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
)


def inside(address: str) -> list[str]:
    """Return IPv6 addresses that contain an IPv4 address."""
    number = int(ipaddress.IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    return [
        f"::ffff:{address}",
        f"::{address}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{address}",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:{high:x}:{low:x}::1",
    ]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_special_address_is_public_in_any_form(address: str) -> None:
    assert not [form for form in [address, *inside(address)] if client_address.is_public(form)]


@pytest.mark.parametrize(
    "address",
    ["::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"],
)
def test_no_special_address_of_ipv6_is_public(address: str) -> None:
    assert not client_address.is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
)
def test_what_the_internet_routes_is_public(address: str) -> None:
    assert client_address.is_public(address)


@given(st.text())
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not client_address.is_public(text) or ipaddress.ip_address(text.strip())
