"""An entry of the ledger as a row of the store has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from receiver.verifier.store import source

#: The kinds of entries that stand for a delivery.
DELIVERED = {"delivery.accepted": "accepted", "delivery.duplicate": "duplicate"}


class Body(msgspec.Struct, frozen=True):
    """What was hashed."""

    v: int
    kind: str
    at: str
    run: str | None
    actor: str
    facts: dict[str, Any]
    digests: dict[str, str]


class Entry(msgspec.Struct, frozen=True):
    """An entry with its number, None where it has none yet, and the salts by the names of its digests."""

    number: int | None
    body: Body
    salts: Mapping[str, str]

    @property
    def title(self) -> str:
        """Return what a sentence calls it."""
        return (
            f"the entry {self.body.kind} that has no number yet" if self.number is None else f"entry {self.number}"
        )


_decode_body = msgspec.json.Decoder(Body).decode
_decode_salts = msgspec.json.Decoder(dict[str, str]).decode


def body(encoded: bytes) -> Body | None:
    """Return what the bytes of an entry say; None where they are no entry."""
    try:
        return _decode_body(encoded)
    except (msgspec.MsgspecError, RecursionError):
        return None


def decode_salts(text: object) -> Mapping[str, str] | None:
    """Return the salts of a row; None where they are no object of texts."""
    if text is None:
        return {}
    try:
        return _decode_salts(text) if isinstance(text, str) else None
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None


def read(row: source.Row) -> Entry | None:
    """Return the entry of a row of number, body and salts; None where its body is no entry."""
    number, stored, salts = row
    found = body(encoded(stored))
    return None if found is None else Entry(number, found, decode_salts(salts) or {})


def encoded(value: Any) -> bytes:
    """Return the bytes of a stored text. A value of another type was written by another program."""
    if type(value) is str:
        return value.encode("utf-8", "surrogateescape")
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else repr(value).encode()
