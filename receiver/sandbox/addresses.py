"""Which callback and endpoint URLs the service takes: https to a public host, and loopback for tests."""

from __future__ import annotations

import ipaddress
import re
import socket

import httpx2 as httpx

from receiver.sandbox import answers

_LONGEST = 2048
_PRIVATE_NAMES = (".local", ".internal", ".localhost", ".lan", ".home.arpa")


def checked(value: object, *, public_only: bool, field: str = "callbackUrl") -> str:
    """`value` as it came, if it is a URL we would call; else a Refusal with status 400."""
    if not isinstance(value, str) or not value:
        raise answers.Refusal(400, f"{field} is required and must be a string")
    if len(value) > _LONGEST or not re.fullmatch(r"[!-~]+", value):
        raise answers.Refusal(400, f"{field} is not a valid URL")
    try:
        url = httpx.URL(value)
        reachable = url.port is None or url.port <= 65_535
    except (httpx.InvalidURL, ValueError):
        raise answers.Refusal(400, f"{field} is not a valid URL") from None
    if not reachable:
        raise answers.Refusal(400, f"{field} is not a valid URL")
    loopback = _is_loopback(url.host)
    if loopback and not public_only and url.scheme in ("http", "https"):
        return value
    if url.scheme != "https" or not url.host:
        raise answers.Refusal(400, f"{field} must use https")
    if loopback or _is_private(url.host):
        raise answers.Refusal(400, f"{field} must not point to a private network")
    return value


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_private(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return not address.is_global
    return "." not in host.rstrip(".") or host.rstrip(".").endswith(_PRIVATE_NAMES)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host part spells, also in the short and hexadecimal forms that resolvers take."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
