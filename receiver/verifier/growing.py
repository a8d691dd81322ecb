"""A Merkle tree (RFC 6962) over leaves that come one by one. Python's library alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

#: Called with row, position and hash of each subtree of 256, 65,536, … leaves that became whole.
Emit = Callable[[int, int, bytes], None]
_sha256 = hashlib.sha256
_LEVELS = 8
_TILE = 1 << _LEVELS


class CompactRange:
    """The tree over the leaves that were added so far: the hashes of its whole subtrees, at most one a level."""

    def __init__(self, emit: Emit | None = None) -> None:
        self.size = 0
        self._stack: list[bytes] = []
        self._emit = emit

    def add(self, found: bytes) -> None:
        """Add the hash of the next leaf."""
        self._push(found, self.size, 0)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add the hashes of the next leaves: those of whole tiles level by level, which is faster."""
        at = 0
        while at < len(leaves):
            if self.size % _TILE or len(leaves) - at < _TILE:
                self.add(leaves[at])
                at += 1
                continue
            found, position = root(leaves[at : at + _TILE]), self.size // _TILE
            if self._emit is not None:
                self._emit(1, position, found)
            self._push(found, position, _LEVELS)
            self.size += _TILE
            at += _TILE

    def _push(self, found: bytes, at: int, level: int) -> None:
        """Add a whole subtree, which has the position `at` in its level."""
        stack = self._stack
        while at & 1:
            found = _sha256(b"\x01" + stack.pop() + found).digest()
            at >>= 1
            level += 1
            if self._emit is not None and level % _LEVELS == 0:
                self._emit(level // _LEVELS, at, found)
        stack.append(found)

    def root(self) -> bytes:
        """Return the hash of the whole tree."""
        if not self._stack:
            return _sha256(b"").digest()
        *rest, found = self._stack
        for left in reversed(rest):
            found = _sha256(b"\x01" + left + found).digest()
        return found


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the hash of the tree over leaf hashes, of which there is one at least."""
    level = leaves
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [_sha256(b"\x01" + left + right).digest() for left, right in pairs]
        if len(level) % 2:  # a last one without a pair moves up unchanged
            above.append(level[-1])
        level = above
    return level[0]
