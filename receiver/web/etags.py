"""Entity tags (RFC 9110, section 8.8.3): when a client's copy of an answer is still what would be answered."""

from __future__ import annotations

import hashlib
from typing import Any

from starlette.datastructures import Headers

#: What a client may send: a header that names no tag of an answer is no error, and is answered in full.
PATTERN = r"^[\s\S]*$"
#: Columns of a run that no entry of the ledger covers, and that change after its end.
_UNCOVERED = ("captured_at", "capture_note", "refresh_requested_at")


def of_run(leaf_hash: bytes | None, run: Any, notification: bytes | None) -> str | None:
    """Return the tag of a settled run: the leaf hash of its newest entry; None where it has not ended.

    What changes without an entry, such as the state of its notification, adds a suffix.
    """
    if leaf_hash is None or run.settled_at is None:
        return None
    apart = [(name, getattr(run, name)) for name in _UNCOVERED if getattr(run, name) is not None]
    apart += [] if run.asked_at in (None, run.settled_at) else [("asked_at", run.asked_at)]
    apart += [] if run.watched else [("watched", False)]
    apart += [] if notification is None else [("notification", notification)]
    suffix = f"-{hashlib.sha256(repr(apart).encode()).hexdigest()[:16]}" if apart else ""
    return f'"{leaf_hash.hex()}{suffix}"'


def is_known(headers: Headers, etag: str) -> bool:
    """Return whether the client has what the tag names: If-None-Match, by weak comparison (section 13.1.2)."""
    given = ",".join(headers.getlist("if-none-match")).split(",")
    return not {"*", etag}.isdisjoint(tag.strip().removeprefix("W/") for tag in given)
