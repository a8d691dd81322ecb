"""Page cursors: opaque to callers, `[sort, value, seq]` inside. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from storage import errors


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: the value of its sort column (None where it has none) and its seq."""

    sort: str
    value: str | int | None
    seq: int

    def __str__(self) -> str:
        packed = json.dumps([self.sort, self.value, self.seq], separators=(",", ":"))
        return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")


def parse(text: str, sort: str) -> Cursor:
    """Parse a cursor that we issued for the order `sort`. Raise BadCursor for any other text."""
    try:
        unpacked = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise errors.BadCursor("the cursor is not one of ours") from None
    match unpacked:
        case [str(name), str() | int() | None as value, int(seq)] if name == sort and 0 <= seq < 1 << 63:
            is_flag = isinstance(value, bool) or isinstance(seq, bool)
            if not is_flag and (not isinstance(value, int) or abs(value) < 1 << 63):
                return Cursor(name, value, seq)
    raise errors.BadCursor(f"the cursor does not belong to this list in the order {sort!r}")
