"""Ids of ours: UUIDv7 (RFC 9562, section 5.7) as text. They sort by time, which keeps indexes small."""

from __future__ import annotations

import uuid
from datetime import datetime

from storage import random_bytes


def new(at: datetime) -> str:
    """Return a new id whose first 48 bits are `at` in milliseconds since the epoch."""
    time, random = f"{_milliseconds(at):012x}", random_bytes.take(10).hex()
    variant = "89ab"[int(random[3], 16) & 0b11]
    return f"{time[:8]}-{time[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"


def lowest(at: datetime) -> str:
    """Return the lowest id of the millisecond of `at`."""
    return str(uuid.UUID(int=_milliseconds(at) << 80))


def is_ours(text: str) -> bool:
    """Return whether `text` has the form of an id of ours, not of the upstream's; `{id}` in a path is either."""
    return len(text) == 36 and text[14] == "7" and all(text[at] == "-" for at in (8, 13, 18, 23))


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000) & (1 << 48) - 1
