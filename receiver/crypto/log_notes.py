"""Read signed notes: the text, and whose signatures stand below it (C2SP `signed-note`, `tlog-cosignature`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from receiver.crypto import log_keys
from storage.ledger import forms

#: The first character of the line of a signature, and the blank behind it.
_DASH = "\u2014 "
#: The bytes of a time before the signature of a witness, and of a signature by ML-DSA-44.
_TIME, _ML_DSA = 8, 2420


def split(note: str) -> tuple[str, list[str]]:
    """Return the text that is signed, which ends with a line feed, and the lines of signatures."""
    text, _, lines = note.rpartition("\n\n")
    return f"{text}\n", lines.removesuffix("\n").split("\n")


def is_signed(note: str, key: log_keys.VerifierKey) -> bool:
    """Return whether a key of the log has signed a note."""
    text, lines = split(note)
    return any(key.has_signed(text.encode(), found) for found in _of_key(lines, key))


def cosigned_at(text: str, lines: Sequence[str], key: log_keys.VerifierKey) -> tuple[str, datetime] | None:
    """Return the line with which a witness signed a text, and the time that it gives; None without one."""
    for line in lines:
        for found in _of_key([line], key):
            seconds = int.from_bytes(found[:_TIME], "big")
            message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
            if seconds < 1 << 33 and key.has_signed(message, found[_TIME:]):
                return line, datetime.fromtimestamp(seconds, UTC)
    return None


def by_ml_dsa(lines: Sequence[str], key: log_keys.VerifierKey) -> str | None:
    """Return the line that has the name of a witness and the size of a signature by ML-DSA-44; None without one.

    It is not checked: it is kept for those who can, and counts for nothing.
    """
    for line in lines:
        found = _parse(line)
        if found and found[0] == key.name and len(found[2]) == _TIME + _ML_DSA and found[1] != key.key_id:
            return line
    return None


def _of_key(lines: Sequence[str], key: log_keys.VerifierKey) -> Iterator[bytes]:
    for line in lines:
        found = _parse(line)
        if found and found[:2] == (key.name, key.key_id):
            yield found[2]


def _parse(line: str) -> tuple[str, bytes, bytes] | None:
    """Return the name, the id and the signature of a line; None where it is none, or not in the one spelling."""
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        found = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    is_plain = line.startswith(_DASH) and forms.encoded(found) == encoded and len(found) > 4
    return (name, found[:4], found[4:]) if is_plain else None
