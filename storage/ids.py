"""Ids of ours: UUIDv7 (RFC 9562, section 5.7) as text, so that they sort by time and indexes stay flat."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime


def new(at: datetime) -> str:
    """A fresh id whose first 48 bits are `at` in milliseconds since the epoch."""
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    noise = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (noise >> 62) << 64 | 0b10 << 62 | noise & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def first(at: datetime) -> str:
    """The least of all ids that are made in the millisecond of `at`."""
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    return str(uuid.UUID(int=milliseconds << 80))


def is_ours(text: str) -> bool:
    """Whether `text` has the form of an id of ours, so that `{id}` in a path can be told from the upstream's."""
    return len(text) == 36 and text[14] == "7" and all(text[at] == "-" for at in (8, 13, 18, 23))
