"""Find two entries that have each other's place, where the root of a checkpoint differs."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from receiver.verifier import growing, public_forms
from receiver.verifier.store import source

#: The most pairs that are tried, and the largest tree in which they are.
TRIED, LARGEST = 20_000, 1 << 16
_LEAVES = "SELECT leaf_index, leaf_hash FROM ledger_entries WHERE leaf_index >= 0 AND leaf_index < ? ORDER BY "


def find(store: source.Source, checkpoint: public_forms.Checkpoint) -> tuple[int, int] | None:
    """Return the first two numbers that are not in their place; None where no order gives the signed root.

    A store writes its entries in their order, so that of `seq` is tried first, then each pair of the last entries.
    """
    return _by_arrival(store, checkpoint) or _by_trial(store, checkpoint)


def _by_arrival(store: source.Source, checkpoint: public_forms.Checkpoint) -> tuple[int, int] | None:
    made, moved = growing.CompactRange(), list[int]()
    for place, (number, leaf) in enumerate(store.stream(_LEAVES + "seq", checkpoint.size)):
        made.add(bytes(leaf))
        if number != place and len(moved) < 2:
            moved.append(number)
    if len(moved) < 2 or made.root() != checkpoint.root:
        return None
    return min(moved), max(moved)


def _by_trial(store: source.Source, checkpoint: public_forms.Checkpoint) -> tuple[int, int] | None:
    if checkpoint.size > LARGEST:
        return None
    leaves = [bytes(leaf) for _, leaf in store.stream(_LEAVES + "leaf_index", checkpoint.size)]
    levels = _levels(leaves)
    for one, other in itertools.islice(_suspects(store, checkpoint.size), TRIED):
        if _swapped_root(levels, one, other) == checkpoint.root:
            return one, other
    return None


def _suspects(store: source.Source, size: int) -> Iterator[tuple[int, int]]:
    """Yield pairs of entries whose ids do not begin with their times, then pairs of one time."""
    columns = f"leaf_index, id, {store.instant('at')}"
    sql = f"SELECT {columns} FROM ledger_entries WHERE leaf_index >= 0 AND leaf_index < ? ORDER BY leaf_index"
    odd, of_time = list[int](), defaultdict[str, list[int]](list)
    for number, name, at in store.stream(sql, size):
        of_time[str(at)[:23]].append(number)
        if not _is_of(name, at):
            odd.append(number)
    yield from itertools.combinations(odd, 2)
    for numbers in of_time.values():
        yield from itertools.combinations(numbers, 2)


def _is_of(name: str, at: str) -> bool:
    try:
        milliseconds = int(datetime.fromisoformat(at).timestamp() * 1000)
        return name.replace("-", "")[:12] == f"{milliseconds:012x}"
    except (ValueError, TypeError, OverflowError):
        return False


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    """Return the hashes of each level; a last one without a pair moves up unchanged."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = zip(below[::2], below[1::2], strict=False)
        above = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
        levels.append(above + below[len(below) - len(below) % 2 :])
    return levels


def _swapped_root(levels: list[list[bytes]], one: int, other: int) -> bytes:
    changed = {one: levels[0][other], other: levels[0][one]}
    for level in levels[:-1]:
        above: dict[int, bytes] = {}
        for at in changed:
            left, right = at & ~1, at | 1
            if right >= len(level):
                above[at >> 1] = changed[at]
            else:
                pair = changed.get(left, level[left]) + changed.get(right, level[right])
                above[at >> 1] = hashlib.sha256(b"\x01" + pair).digest()
        changed = above
    return changed[0]
