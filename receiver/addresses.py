"""Addresses: who called, behind proxies that we trust; what was asked for, wherever we are mounted. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: str | None, forwarded: str | None, trusted: Sequence[Network]) -> str | None:
    """The caller's address: the peer's own, or, through trusted proxies, the last one that is not theirs.

    X-Forwarded-For is written by anybody; from the right, each entry is as good as the proxy that added it.
    """
    found = peer
    for entry in reversed((forwarded or "").split(",")):
        if not _is_in(found, trusted) or _parsed(entry) is None:
            break
        found = str(_parsed(entry))
    return found


def origin(text: str | None) -> str:
    """Who is behind an address, likely: of IPv6 a whole /64, which is the least that anybody is given."""
    address = _parsed(text or "")
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        return str(inner or ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


def _is_in(text: str | None, networks: Sequence[Network]) -> bool:
    address = _parsed(text or "")
    return address is not None and any(address in network for network in networks)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        return None


#: Of all IPv6 only this is ever given to hosts of the open internet; the second stands for IPv4 behind a NAT64.
_UNICAST, _NAT64 = ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("64:ff9b::/96")
#: Special, though this release of Python calls a part of it global: clouds keep secrets there.
_SPECIAL = ipaddress.IPv4Network("192.0.0.0/24")


def is_public(text: str) -> bool:
    """Whether an address is one of the open internet; no less where it stands for an IPv4 address inside IPv6."""
    address = _parsed(text)
    if isinstance(address, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        inner = address.ipv4_mapped or address.sixtofour or nat64
        if inner is None:
            return address in _UNICAST and address.is_global
        address = inner
    return address is not None and address.is_global and not address.is_multicast and address not in _SPECIAL


def is_literal(host: str) -> bool:
    """Whether a host is an address and no name."""
    return _parsed(host) is not None


def is_loopback(url: str) -> bool:
    """Whether an address names this machine."""
    host = urlsplit(url).hostname or ""
    address = _parsed(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def below(scope: Mapping[str, Any]) -> str:
    """The path of an ASGI request below where the application is mounted.

    `path` begins with `root_path`, but for what a proxy in front of the outermost application has taken off.
    """
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    for prefix in (root, root.removeprefix(scope.get("app_root_path", ""))):
        if path.startswith(f"{prefix}/"):
            return path[len(prefix) :]
    return path
