"""Addresses: who called, behind proxies that we trust; what is loopback. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
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


def _is_in(text: str | None, networks: Sequence[Network]) -> bool:
    address = _parsed(text or "")
    return address is not None and any(address in network for network in networks)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        return None


def is_loopback(url: str) -> bool:
    """Whether an address names this machine."""
    host = urlsplit(url).hostname or ""
    address = _parsed(host)
    return host == "localhost" or (address is not None and address.is_loopback)
