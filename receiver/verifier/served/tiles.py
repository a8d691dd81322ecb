"""Tiles of a log as C2SP `tlog-tiles` 0.1.0 names and forms them. Python's library alone. Pure."""

from __future__ import annotations

from receiver.verifier import public_forms

#: The hashes or entries of a whole tile, the bytes of a hash, and the most bytes of an entry.
WIDTH, HASH, MOST_ENTRY = 256, 32, 65_535


def path(row: str, number: int, width: int) -> str:
    """Return the path of a tile of a row, or of a bundle of `entries`.

    >>> path("0", 1234067, 256), path("entries", 0, 12)
    ('tile/0/x001/x234/067', 'tile/entries/000.p/12')
    """
    parts = [f"{number % 1000:03}"]
    while number := number // 1000:
        parts.append(f"x{number % 1000:03}")
    part = "" if width == WIDTH else f".p/{width}"
    return f"tile/{row}/{'/'.join(reversed(parts))}{part}"


def hashes(data: bytes, width: int) -> list[bytes] | None:
    """Return the hashes of a tile; None where it does not have that many."""
    if len(data) != width * HASH:
        return None
    return [data[at : at + HASH] for at in range(0, len(data), HASH)]


def leaves(data: bytes, width: int) -> list[bytes] | None:
    """Return the hashes of the entries in a bundle; None where it does not have that many."""
    found, at = list[bytes](), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        at += 2 + size
        if at > len(data) or len(found) == width:
            return None
        found.append(public_forms.leaf_hash(data[at - size : at]))
    return found if len(found) == width else None
