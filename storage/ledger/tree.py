"""The Merkle tree over the numbered entries (RFC 6962): roots and proofs from stored hashes. Pure.

A row of the tree is stored every eight levels, as `tlog-tiles` of C2SP serves them: row 0 has the hashes of the
leaves, row 1 one hash of every 256 leaves, row 2 one of every 65,536. A proof reads at most two tiles of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from storage import merkle

#: The hashes of a whole tile, and the levels of the tree from one row to the next.
WIDTH, HEIGHT = 256, 8

#: The first leaf of a subtree, and the first one behind it.
Leaves = tuple[int, int]
#: Returns so many hashes of a row from a position on; each is of a subtree that has all of its leaves.
Read = Callable[[int, int, int], Sequence[bytes]]


class Tree:
    """The tree of the first `size` entries. What was read and hashed is kept for its other proofs."""

    def __init__(self, size: int, read: Read) -> None:
        self.size = size
        self._read = read
        self._tiles: dict[tuple[int, int], Sequence[bytes]] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}

    def root(self, size: int | None = None) -> bytes:
        """Return the hash of the whole tree, 32 bytes, or of the tree that its first `size` entries were."""
        return self._hash(0, self.size if size is None else size)

    def inclusion(self, index: int) -> list[bytes]:
        """Return the hashes that lead from the leaf at an index up to the root (RFC 6962, section 2.1.1)."""
        assert 0 <= index < self.size
        return [self._hash(*beside) for _, beside in self._way_to(index)][::-1]

    def consistency(self, old: int) -> list[bytes]:
        """Return the hashes that show that this tree continues its first `old` leaves (section 2.1.2)."""
        assert 0 < old <= self.size
        last, path = (0, self.size), list[bytes]()
        for entered, beside in self._way_to(old - 1):
            if last[1] == old:
                break
            path.append(self._hash(*beside))
            last = entered
        # What is left is the last subtree of the old tree. Where that is all of it, the reader has its hash.
        return ([] if last[0] == 0 else [self._hash(*last)]) + path[::-1]

    def _way_to(self, index: int) -> Iterator[tuple[Leaves, Leaves]]:
        """Return the subtrees that are entered from the root down to a leaf, each with the one beside it."""
        low, high = 0, self.size
        while high - low > 1:
            middle = low + _split(high - low)
            left, right = (low, middle), (middle, high)
            entered, beside = (left, right) if index < middle else (right, left)
            yield entered, beside
            low, high = entered

    def _hash(self, low: int, high: int) -> bytes:
        """Return the hash over the leaves from `low` up to `high`; the number before them is a multiple of it."""
        whole = list(_subtrees(low, high))
        if not whole:
            return merkle.root(())
        found = self._node(*whole[-1])
        for level, position in reversed(whole[:-1]):
            found = merkle.node_hash(self._node(level, position), found)
        return found

    def _node(self, level: int, position: int) -> bytes:
        """Return the hash of a subtree of 2^level leaves, the first of which is at position · 2^level."""
        found = self._nodes.get((level, position))
        if found is None:
            row, above = divmod(level, HEIGHT)
            first, count = position << above, 1 << above
            tile, within = divmod(first, WIDTH)
            found = merkle.root(self._tile(row, tile)[within : within + count])
            self._nodes[level, position] = found
        return found

    def _tile(self, row: int, tile: int) -> Sequence[bytes]:
        found = self._tiles.get((row, tile))
        if found is None:
            width = min(WIDTH, (self.size >> row * HEIGHT) - tile * WIDTH)
            found = self._tiles[row, tile] = self._read(row, tile * WIDTH, width)
            assert len(found) == width, f"row {row} of the tree lacks hashes from {tile * WIDTH} on"
        return found


def whole_tiles(row: int, old: int, size: int) -> range:
    """Return the tiles of a row that became whole while the tree grew: their hashes are new in the row above."""
    leaves = (row + 1) * HEIGHT
    return range(old >> leaves, size >> leaves)


def _split(count: int) -> int:
    """Return the largest power of two below a count of two or more."""
    power: int = 1 << (count - 1).bit_length() - 1
    return power


def _subtrees(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Return level and position of the whole subtrees from left to right, each smaller than the one before it."""
    while low < high:
        level = (high - low).bit_length() - 1
        yield level, low >> level
        low += 1 << level
