"""Compare the checkpoint and the tiles that a server serves with the entries of a store, or with each other.

Python's library alone, in bounded memory: one tile of each row at a time.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from receiver.verifier import growing, public_forms
from receiver.verifier.served import tiles
from receiver.verifier.served.fetching import Fetch, NotServed
from receiver.verifier.store import signatures
from receiver.verifier.store.breaks import Code, Report

#: The numbers and the bytes of a store's entries, in their order.
Bodies = Iterator[tuple[int, bytes]]
#: Called with how many entries were compared, and how many there are.
Progress = Callable[[int, int], None]
CHECKPOINT = "checkpoint"


def checkpoint(fetch: Fetch, trusted: signatures.Trusted, report: Report) -> public_forms.Checkpoint | None:
    """Return the served checkpoint; None, and a break in the report, where it is not trusted.

    Raises NotServed where none is served.
    """
    data = fetch(CHECKPOINT, public_forms.MOST_BYTES)
    if data is None:
        raise NotServed("the server serves no checkpoint: it signs one a second after its first entry")
    try:
        found = public_forms.parse_checkpoint(data)
    except public_forms.Refused as refused:
        report.add(Code.SIGNATURE_WRONG, f"the served checkpoint cannot be read: {refused}")
        return None
    report.checked["servedCheckpoints"] += 1
    faults = [*signatures.faults(found, trusted)]
    for code, fault in faults:
        report.add(code, f"the served checkpoint of {found.size} entries is not trusted: {fault}")
    _check_cosignatures(found, trusted, report)
    return None if faults else found


def _check_cosignatures(found: public_forms.Checkpoint, trusted: signatures.Trusted, report: Report) -> None:
    """Check the lines of known witnesses; a server may serve those of others, too."""
    text, lines = found.note.text.encode(), found.note.signatures
    for key in trusted.policy.witnesses.values():
        for each in lines:
            if (each.name, each.key_id) == (key.name, key.id) and not signatures.is_cosigned(
                text, key, each.value, trusted.check
            ):
                sentence = (
                    f"the served checkpoint has a line of the witness {key.name}, and its signature is wrong"
                )
                report.add(Code.SIGNATURE_WRONG, sentence, number=found.size)


def compare(
    fetch: Fetch,
    served: public_forms.Checkpoint,
    report: Report,
    *,
    bodies: Bodies | None = None,
    kept: Sequence[public_forms.Checkpoint] = (),
    progress: Progress | None = None,
) -> None:
    """Compare all that is served under a checkpoint.

    `bodies` are the entries of the store; without them the served entries and hashes are compared with each other,
    with the root of the checkpoint, and with those of `kept` checkpoints. Raises NotServed.
    """
    compared = _Comparison(fetch, served, report, bodies, kept)
    for first in range(0, served.size, tiles.WIDTH):
        if report.counts[Code.TILE_CHANGED] >= report.limit:
            report.unchecked.append(f"what is served from entry {first} on, after {report.limit} differences")
            return
        if not compared.next_tile(first, min(tiles.WIDTH, served.size - first)):
            return
        if progress is not None:
            progress(first, served.size)
    compared.finish()


class _Comparison:
    """The trees over the leaves so far: that of the store, or those of the served entries and the served hashes.

    A hash of a higher tile is right where one of the trees has it: what the other one has is reported below it.
    """

    def __init__(
        self,
        fetch: Fetch,
        served: public_forms.Checkpoint,
        report: Report,
        bodies: Bodies | None,
        kept: Sequence[public_forms.Checkpoint],
    ) -> None:
        self._fetch, self._report, self._bodies, self._served = fetch, report, bodies, served
        self._trees = [growing.CompactRange(partial(self._emit, at)) for at in range(2 if bodies is None else 1)]
        #: Of each higher row the hashes that were made since its last whole tile, by tree; and its whole tiles.
        self._made: dict[int, list[list[bytes]]] = defaultdict(lambda: [[] for _ in self._trees])
        self._whole: Counter[int] = Counter()
        self._against = sorted([*kept, served], key=lambda each: each.size)
        self._is_rewritten = False

    def _emit(self, tree: int, row: int, _position: int, found: bytes) -> None:
        self._made[row][tree].append(found)

    def next_tile(self, first: int, width: int) -> bool:
        """Compare a bundle and the hashes of its entries; return whether there is a tree to go on with."""
        number = first // tiles.WIDTH
        entries = self._fetched("entries", number, width, tiles.MOST_ENTRY + 2, tiles.leaves)
        hashes = self._fetched("0", number, width, tiles.HASH, tiles.hashes)
        if self._bodies is None:
            if entries is None and hashes is None:
                self._report.unchecked.append(f"what is served from entry {first} on")
                return False
            self._compare(first, "its hash in the tile", hashes, entries or hashes or [])
            self._grow([entries or hashes or [], hashes or entries or []])
            return True
        stored = self._stored(first, width)
        if stored is None:
            return False
        self._compare(first, "as it is served", entries, stored)
        self._compare(first, "its hash as it is served", hashes, stored)
        self._grow([stored])
        return True

    def _fetched(
        self,
        row: str,
        number: int,
        width: int,
        most: int,
        read: Callable[[bytes, int], list[bytes] | None],
    ) -> list[bytes] | None:
        """Return the hashes of a tile; None, and a break, where it is not served or has another form."""
        path = tiles.path(row, number, width)
        data = self._fetch(path, most * width)
        self._report.checked["servedTiles"] += 1
        found = None if data is None else read(data, width)
        if found is None:
            fault = "is not served" if data is None else f"does not have {width} entries"
            place = number * tiles.WIDTH ** (1 if row == "entries" else int(row) + 1)
            self._report.add(Code.TILE_CHANGED, f"{path} {fault}", number=place)
        return found

    def _stored(self, first: int, width: int) -> list[bytes] | None:
        """Return the leaf hashes of the store; None where it does not have all of them."""
        found = [*itertools.islice(self._bodies or (), width)]
        if [number for number, _ in found] == [*range(first, first + width)]:
            return [public_forms.leaf_hash(body) for _, body in found]
        if len(found) < width:
            sentence = f"the store has fewer entries than the served checkpoint, {self._served.size}"
            self._report.add(Code.OLDER_COPY, sentence, number=first + len(found))
        self._report.unchecked.append(f"what is served from entry {first} on: the store does not have all of it")
        return None

    def _compare(self, first: int, which: str, served: list[bytes] | None, expected: list[bytes]) -> None:
        for at, (one, other) in enumerate(zip(served or (), expected, strict=False), first):
            if one != other:
                self._report.add(Code.TILE_CHANGED, f"entry {at} and {which} do not fit", number=at)

    def _grow(self, leaves: list[list[bytes]]) -> None:
        for found in zip(*leaves, strict=True):
            for tree, leaf in zip(self._trees, found, strict=True):
                tree.add(leaf)
            while self._against and self._against[0].size <= self._trees[0].size:
                self._compare_root(self._against.pop(0))
        for row in [*self._made]:
            if len(self._made[row][0]) == tiles.WIDTH:
                self._compare_row(row)

    def _compare_root(self, checkpoint: public_forms.Checkpoint) -> None:
        if self._is_rewritten or any(tree.root() == checkpoint.root for tree in self._trees):
            return
        self._is_rewritten = True
        title = "served" if checkpoint is self._served else "kept"
        whose = "served entries" if self._bodies is None else "entries of the store"
        sentence = f"the {whose} are not those of the {title} checkpoint of {checkpoint.size} entries"
        self._report.add(Code.HISTORY_REWRITTEN, sentence, number=checkpoint.size)

    def _compare_row(self, row: int) -> None:
        made, number = self._made.pop(row), self._whole[row]
        self._whole[row] += 1
        served = self._fetched(str(row), number, len(made[0]), tiles.HASH, tiles.hashes)
        for at, (found, *expected) in enumerate(zip(served or (), *made, strict=False)):
            if found not in expected:
                position = number * tiles.WIDTH + at
                sentence = f"the served node {position} of row {row} of the tree is not that of its entries"
                self._report.add(Code.TILE_CHANGED, sentence, number=position * tiles.WIDTH**row)

    def finish(self) -> None:
        """Compare the tiles at the end of each row, and the checkpoints that no entry reached."""
        for row in sorted(self._made):
            self._compare_row(row)
        for each in self._against:
            if each.size:
                sentence = (
                    f"{self._served.size} entries are served, and the checkpoint that was kept has {each.size}"
                )
                self._report.add(Code.OLDER_COPY, sentence, number=self._served.size)
