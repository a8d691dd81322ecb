"""Hashing of the ledger, after RFC 6962 section 2.1, and the one form of bytes that is hashed. Pure."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


def canonical(value: Any) -> bytes:
    """JSON in the canonical form of RFC 8785 for strings, integers below 2^53, null, booleans, lists, objects.

    Floats do not occur: they are turned away or made null at the payload edge.
    """
    return _dumped(_sorted(value)).encode()


class Encoded(str):
    """A JSON value in its canonical form, which is stored and hashed as it is."""

    __slots__ = ()

    def __deepcopy__(self, _memo: object) -> Encoded:
        return self  # it never changes, and may be large


def encoded(value: Any) -> Encoded | None:
    """`value` in its canonical form; None where there is no value."""
    if value is None or isinstance(value, Encoded):
        return value
    return Encoded(_dumped(_sorted(value)))


def object_bytes(values: Mapping[str, Any]) -> bytes:
    """The canonical form of an object with ASCII names, some of whose values may be encoded already."""
    parts = (f"{_dumped(name)}:{encoded(values[name]) or 'null'}" for name in sorted(values))
    return b"{" + b",".join(part.encode() for part in parts) + b"}"


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _sorted(value: Any) -> Any:
    """`value` with the keys of each object in the order of RFC 8785: by UTF-16 code units."""
    if isinstance(value, dict):
        keys = sorted(value, key=_utf16)
        return {key: _sorted(value[key]) for key in keys}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def digest(salt: bytes, name: str, value: bytes) -> str:
    """SHA-256(salt ‖ name ‖ 0x00 ‖ value) in hex: proves `value` to who has the salt, says nothing to others."""
    hashed = hashlib.sha256(salt + name.encode() + b"\x00")
    hashed.update(value)  # which may be large, so it is not copied
    return hashed.hexdigest()


def leaf_hash(entry: bytes) -> bytes:
    """The 32-byte hash of a leaf: SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash of an interior node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash over leaf hashes, in their order; of none, SHA-256 of the empty string."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        # A last node without a sibling moves up unchanged: the same tree as RFC 6962's split at a power of two.
        paired = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A digest of one value. `salt` is None where the salts stand elsewhere: on the rows under a root."""

    name: str
    hex: str
    salt: bytes | None = None


def salt() -> bytes:
    """16 fresh random bytes."""
    return secrets.token_bytes(16)


def seal(name: str, value: bytes | None) -> tuple[Sealed, ...]:
    """The digest of `value` under a fresh salt; nothing where there is no value."""
    if value is None:
        return ()
    fresh = salt()
    return (Sealed(name, digest(fresh, name, value), fresh),)


def seal_rows(name: str, rows: Iterable[tuple[bytes, bytes]]) -> tuple[Sealed, ...]:
    """One RFC 6962 root over the salted digests of rows, given as (salt, canonical bytes) in their order."""
    leaves = [leaf_hash(bytes.fromhex(digest(salt, name, value))) for salt, value in rows]
    return (Sealed(name, root(leaves).hex()),)
