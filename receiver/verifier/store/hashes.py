"""Hashes of RFC 6962, of digests, and the canonical bytes under them. Shares no code with the writer. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from receiver.verifier import growing

_sha256 = hashlib.sha256
#: Values below so many bytes are copied, which takes less time than a second call.
_SMALL = 8192


def leaf(body: bytes) -> bytes:
    """Return the hash of a leaf."""
    return _sha256(b"\x00" + body).digest()


def digest(salt: bytes, name: str, value: bytes) -> bytes:
    """Return the salted digest of a value."""
    if len(value) < _SMALL:
        return _sha256(salt + name.encode() + b"\x00" + value).digest()
    hashed = _sha256(salt + name.encode() + b"\x00")
    hashed.update(value)  # apart, so that a large value is not copied
    return hashed.digest()


def rows_root(name: str, rows: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the digest over rows, each given as its salt and its canonical bytes, in hexadecimal."""
    return growing.root([leaf(digest(salt, name, value)) for salt, value in rows]).hex()


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of a value (RFC 8785) without fractions."""
    encoded = _encode(value)
    # Names are sorted by code points here. From U+E000 on the order of UTF-16 may be another.
    is_in_order = encoded.isascii() or _BEYOND.search(encoded) is None
    return encoded if is_in_order else _encode_unsorted(_in_order(value))


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    return [_in_order(each) for each in value] if isinstance(value, list) else value


#: The first byte in UTF-8 of each character from U+E000 on.
_BEYOND = re.compile(b"[\xee-\xf4]")
_encode = msgspec.json.Encoder(order="sorted").encode
_encode_unsorted = msgspec.json.Encoder().encode
