"""Hashes of the ledger, as in RFC 6962 section 2.1, and the canonical bytes that are hashed. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from storage import random_bytes


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of RFC 8785, for strings, integers below 2^53, null, booleans, lists, objects.

    Floats do not occur: requests with floats are rejected, and payloads get null instead.
    """
    encoded = _encoded(value)
    # The encoder sorts names by code points. From U+E000 on, UTF-16 code units may have another order.
    is_in_order = encoded.isascii() or _BEYOND.search(encoded) is None
    return encoded if is_in_order else _encoded_in_order(_with_sorted_keys(value))


class CanonicalJson(str):
    """The canonical text of a JSON value, which is stored and hashed as it is."""

    __slots__ = ()

    def __deepcopy__(self, _memo: object) -> CanonicalJson:
        return self  # immutable, and possibly large


def encode(value: Any) -> CanonicalJson | None:
    """Return the canonical text of a value; None for None."""
    if value is None or isinstance(value, CanonicalJson):
        return value
    return CanonicalJson(canonical(value).decode())


def object_bytes(values: Mapping[str, Any]) -> bytes:
    """Return the canonical form of an object with ASCII names; its values may be encoded already."""
    parts = [_encoded(name) + b":" + _value_bytes(values[name]) for name in sorted(values)]
    return b"{" + b",".join(parts) + b"}"


def _value_bytes(value: Any) -> bytes:
    if type(value) is str:  # as most are
        return _encoded(value)
    return value.encode() if isinstance(value, CanonicalJson) else canonical(value)


def _text(value: object) -> str:
    """Return a CanonicalJson as a plain text: inside another value it is a text like any other."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


#: The first byte in UTF-8 of each character from U+E000 on.
_BEYOND = re.compile(b"[\xee-\xf4]")
_encoded = msgspec.json.Encoder(enc_hook=_text, order="sorted").encode
_encoded_in_order = msgspec.json.Encoder(enc_hook=_text).encode


def _with_sorted_keys(value: Any) -> Any:
    """Return a value with the keys of each object in the order of RFC 8785: by UTF-16 code units."""
    if isinstance(value, dict):
        keys = sorted(value, key=_utf16)
        return {key: _with_sorted_keys(value[key]) for key in keys}
    if isinstance(value, list | tuple):
        return [_with_sorted_keys(item) for item in value]
    return value


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def digest(salt: bytes, name: str, value: bytes) -> str:
    """Return SHA-256(salt ‖ name ‖ 0x00 ‖ value) in hex.

    It proves the value to a reader that has the salt, and reveals nothing to others.
    """
    hashed = hashlib.sha256(salt + name.encode() + b"\x00")
    hashed.update(value)  # apart, so that a large value is not copied
    return hashed.hexdigest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the 32-byte hash of a leaf: SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of an interior node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash over leaf hashes, in their order; of none, SHA-256 of the empty string."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        # A last node without a sibling moves up unchanged: this gives the same tree as RFC 6962's split at a
        # power of two.
        paired = list(map(node_hash, level[::2], level[1::2]))
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0]


class Digest(msgspec.Struct, frozen=True):
    """A salted digest of a value. `salt` is None for a root over rows, since each row has its own salt."""

    name: str
    hex: str
    salt: bytes | None = None


def salt() -> bytes:
    """Return 16 random bytes."""
    return random_bytes.take(16)


def salted_digest(name: str, value: str | bytes | None) -> tuple[Digest, ...]:
    """Return the digest of bytes, or of a text as UTF-8, under a new salt; an empty tuple for None."""
    if value is None:
        return ()
    new_salt = salt()
    return (Digest(name, digest(new_salt, name, value.encode() if isinstance(value, str) else value), new_salt),)


def rows_digest(name: str, rows: Iterable[tuple[bytes, bytes]]) -> tuple[Digest, ...]:
    """Return one RFC 6962 root over the salted digests of rows, given in order as (salt, canonical bytes)."""
    leaves = [leaf_hash(bytes.fromhex(digest(salt, name, value))) for salt, value in rows]
    return (Digest(name, root(leaves).hex()),)
