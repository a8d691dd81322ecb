"""A Merkle tree (RFC 6962) over leaves that come one by one. Python's library alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

#: Called with row, position and hash of each subtree of 256, 65,536, … leaves that became whole.
Emit = Callable[[int, int, bytes], None]
_sha256 = hashlib.sha256
_LEVELS = 8


class CompactRange:
    """The tree over the leaves that were added so far: the hashes of its whole subtrees, at most one a level."""

    def __init__(self, emit: Emit | None = None) -> None:
        self.size = 0
        self._stack: list[bytes] = []
        self._emit = emit

    def add(self, found: bytes) -> None:
        """Add the hash of the next leaf."""
        stack, at, level = self._stack, self.size, 0
        while at & 1:
            found = _sha256(b"\x01" + stack.pop() + found).digest()
            at >>= 1
            level += 1
            if self._emit is not None and level % _LEVELS == 0:
                self._emit(level // _LEVELS, at, found)
        stack.append(found)
        self.size += 1

    def root(self) -> bytes:
        """Return the hash of the whole tree."""
        if not self._stack:
            return _sha256(b"").digest()
        *rest, found = self._stack
        for left in reversed(rest):
            found = _sha256(b"\x01" + left + found).digest()
        return found
