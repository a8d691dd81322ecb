"""Addresses: who called, behind proxies that we trust; what was asked for, wherever we are mounted. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


#: The headers in which proxies say who called.
FORWARDING = ("x-forwarded-for", "forwarded")
#: Entries of a forwarding header that are read, from the right: no chain of proxies is longer.
HOPS = 32
#: A peer without an address came over a socket of this machine.
_HERE = "127.0.0.1"
_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]+|\[(?P<v6>[^\]]*)\](:[0-9]+)?", re.ASCII)
_FOR = re.compile(r"(?:^|;)\s*for\s*=([^;]*)", re.IGNORECASE)


def client_address(peer: str | None, forwarded: str | None, trusted: Sequence[Network]) -> str | None:
    """The caller's address: the peer's own, or, through trusted proxies, the last one that is not theirs.

    A forwarding header is written by anybody; from the right, each entry is as good as the proxy that added it.
    An entry may have a port, quotes, or the form of RFC 7239. One that is no address (`unknown`) ends the chain.
    """
    found = spelled(peer)
    for entry in reversed((forwarded or "").rsplit(",", HOPS)[-HOPS:]):
        if not entry.strip():
            continue
        address = _hop(entry)
        if address is None or not _is_in(found or _HERE, trusted):
            break
        found = str(address)
    return found


def forwarding(headers: Mapping[str, str]) -> str | None:
    """Return what forwarding header counts: `Forwarded` (RFC 7239) only where there is no X-Forwarded-For.

    A proxy that writes the one may hand on the other as a caller has made it up.
    """
    return headers.get("x-forwarded-for") or headers.get("forwarded")


def networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list. Raises ValueError with a sentence for what is none."""
    plain = text.translate(dict.fromkeys(map(ord, "[]\"'")))
    return tuple(map(_network, re.split(r"[\s,;]+", plain.strip(" \t\r\n,;")))) if plain.strip(" ,;") else ()


def _network(text: str) -> Network:
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text} is no network: list addresses of the proxies, as in 10.0.0.0/8 or 192.0.2.7; names are not "
            "looked up"
        ) from None
    _, slash, _ = text.partition("/")
    if slash and ipaddress.ip_interface(text).ip != found.network_address:
        one = ipaddress.ip_interface(text).ip
        raise ValueError(f"{text} names an address and a network: write {found}, or {one} for the address alone")
    inner = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
    if inner is not None and found.prefixlen >= _MAPPED:
        return ipaddress.IPv4Network((int(inner), found.prefixlen - _MAPPED))
    return found


#: Bits of an IPv6 address in front of the IPv4 address that it holds.
_MAPPED = 96


def origin(text: str | None) -> str:
    """Who is behind an address, likely: of IPv6 a whole /64, which is the least that anybody is given.

    An IPv4 address inside IPv6 is one of its own.
    """
    address = _parsed(text or "")
    if isinstance(address, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        return str(inner or ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


def spelled(text: str | None) -> str | None:
    """Return an address in the one spelling in which it is stored; a text that is no address as it is.

    >>> [spelled(each) for each in ("::ffff:203.0.113.7", "FE80::1%eth0", "somewhere", None)]
    ['203.0.113.7', 'fe80::1', 'somewhere', None]
    """
    address = _parsed(text or "")
    return text if address is None else str(address)


def _hop(entry: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address of an entry of a forwarding header, without its port; None where it holds none."""
    pair = _FOR.search(entry)
    text = (pair[1] if pair else entry).strip().strip("\"'").strip()
    port = _PORT.fullmatch(text)
    return _parsed(text if port is None else port["v4"] or port["v6"])


def _is_in(text: str | None, networks: Sequence[Network]) -> bool:
    address = _parsed(text or "")
    return address is not None and any(address in network for network in networks)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address, as IPv4 where it is one inside IPv6; a zone says nothing elsewhere."""
    try:
        plain = text.strip()
        address = ipaddress.ip_address(plain.partition("%")[0] if ":" in plain else plain)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


#: Of all IPv6 only this is ever given to hosts of the open internet; the second stands for IPv4 behind a NAT64.
_UNICAST, _NAT64 = ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("64:ff9b::/96")
#: Special, though this release of Python calls a part of it global: clouds keep secrets there.
_SPECIAL = ipaddress.IPv4Network("192.0.0.0/24")


def is_public(text: str) -> bool:
    """Whether an address is one of the open internet; no less where it stands for an IPv4 address inside IPv6."""
    address = _parsed(text)
    if isinstance(address, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        inner = address.sixtofour or nat64
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
