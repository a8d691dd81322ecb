"""Addresses: the client's behind trusted proxies, the path below a mount point, which ones are public. Pure."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


#: The headers in which proxies name the client.
FORWARDING_HEADERS = ("x-forwarded-for", "forwarded")
#: The most entries of a forwarding header that are read, from the right: no chain of proxies is longer.
HOPS = 32
#: The address of a peer without one, which connected over a Unix socket.
_LOCALHOST = "127.0.0.1"
_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]+|\[(?P<v6>[^\]]*)\](:[0-9]+)?", re.ASCII)
_FOR = re.compile(r"(?:^|;)\s*for\s*=([^;]*)", re.IGNORECASE)


def behind_proxies(peer: str | None, forwarded: str | None, trusted: Sequence[Network]) -> str | None:
    """Return the client's address: the peer's, or through trusted proxies the last one that is not a proxy's.

    Anybody can write a forwarding header: read from the right, each entry is as good as the proxy that added it.
    An entry may have a port, quotes, or the form of RFC 7239. An entry that is no address (`unknown`) ends the
    chain.
    """
    client = spelled(peer)
    for entry in reversed((forwarded or "").rsplit(",", HOPS)[-HOPS:]):
        if not entry.strip():
            continue
        address = _hop(entry)
        if address is None or not _is_in(client or _LOCALHOST, trusted):
            break
        client = str(address)
    return client


def of_request(scope: Mapping[str, Any], headers: Mapping[str, str], trusted: Sequence[Network]) -> str | None:
    """Return the address of the client that sent an ASGI request; lines of one header are joined by a comma."""
    peer = scope.get("client")
    return behind_proxies(peer[0] if peer else None, forwarding_header(headers), trusted)


def is_encrypted(scope: Mapping[str, Any], forwarded_proto: str | None, trusted: Sequence[Network]) -> bool:
    """Return whether a request came by https, as the connection says, or a trusted proxy in X-Forwarded-Proto."""
    peer = scope.get("client")
    is_trusted = _is_in(spelled(peer[0] if peer else None) or _LOCALHOST, trusted)
    return scope.get("scheme") == "https" or (is_trusted and (forwarded_proto or "").strip().lower() == "https")


def forwarding_header(headers: Mapping[str, str]) -> str | None:
    """Return the forwarding header that counts: `Forwarded` (RFC 7239) only where there is no X-Forwarded-For.

    A proxy that writes one of them may pass on the other as a client has forged it.
    """
    return headers.get("x-forwarded-for") or headers.get("forwarded")


def networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a list. Raises ValueError with a sentence about an entry that is no network."""
    plain = text.translate(dict.fromkeys(map(ord, "[]\"'")))
    return tuple(map(_network, re.split(r"[\s,;]+", plain.strip(" \t\r\n,;")))) if plain.strip(" ,;") else ()


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text} is no network: list addresses of the proxies, as in 10.0.0.0/8 or 192.0.2.7; names are not "
            "looked up"
        ) from None
    _, slash, _ = text.partition("/")
    if slash and ipaddress.ip_interface(text).ip != network.network_address:
        one = ipaddress.ip_interface(text).ip
        raise ValueError(f"{text} names an address and a network: write {network}, or {one} for the address alone")
    inner = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if inner is not None and network.prefixlen >= _MAPPED:
        return ipaddress.IPv4Network((int(inner), network.prefixlen - _MAPPED))
    return network


#: The bits of an IPv6 address before the IPv4 address that it embeds.
_MAPPED = 96


def origin(text: str | None) -> str:
    """Return what likely belongs to one client: of IPv6 a whole /64, the smallest network that is assigned.

    An IPv4 address inside IPv6 counts as that address.
    """
    address = _parsed(text or "")
    if isinstance(address, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        return str(inner or ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


@functools.lru_cache(1024)
def spelled(text: str | None) -> str | None:
    """Return an address in the one spelling in which it is stored; a text that is no address as it is.

    >>> [spelled(each) for each in ("::ffff:203.0.113.7", "FE80::1%eth0", "somewhere", None)]
    ['203.0.113.7', 'fe80::1', 'somewhere', None]
    """
    address = _parsed(text or "")
    return text if address is None else str(address)


def _hop(entry: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address of an entry of a forwarding header, without its port; None where there is none."""
    pair = _FOR.search(entry)
    text = (pair[1] if pair else entry).strip().strip("\"'").strip()
    port = _PORT.fullmatch(text)
    return _parsed(text if port is None else port["v4"] or port["v6"])


def _is_in(text: str | None, networks: Sequence[Network]) -> bool:
    address = _parsed(text or "")
    return address is not None and any(address in network for network in networks)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address, as IPv4 where IPv6 maps one. A zone is dropped: it means nothing on another machine."""
    try:
        plain = text.strip()
        address = ipaddress.ip_address(plain.partition("%")[0] if ":" in plain else plain)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


#: The only IPv6 prefix of public hosts, and the prefix of IPv4 addresses behind a NAT64.
_UNICAST, _NAT64 = ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("64:ff9b::/96")
#: Not public, though Python calls a part of it global: clouds serve credentials there.
_SPECIAL = ipaddress.IPv4Network("192.0.0.0/24")


def is_public(text: str) -> bool:
    """Return whether an address is public; one that embeds an IPv4 address is public only when that is."""
    address = _parsed(text)
    if isinstance(address, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        inner = address.sixtofour or nat64
        if inner is None:
            return address in _UNICAST and address.is_global
        address = inner
    return address is not None and address.is_global and not address.is_multicast and address not in _SPECIAL


def is_literal(host: str) -> bool:
    """Return whether a host is an address and not a name."""
    return _parsed(host) is not None


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is this machine."""
    host = urlsplit(url).hostname or ""
    address = _parsed(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def path_below_mount(scope: Mapping[str, Any]) -> str:
    """Return the path of an ASGI request below the mount point of the application.

    `path` begins with `root_path`, except for a prefix that a proxy in front of the outermost application has
    removed.
    """
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    if not root:
        return path
    for prefix in (root, root.removeprefix(scope.get("app_root_path", ""))):
        if path.startswith(f"{prefix}/"):
            return path[len(prefix) :]
    return path
