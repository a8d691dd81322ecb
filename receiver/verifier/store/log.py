"""Check the log itself: leaves, numbers, the tree over them, its stored nodes, and the signed checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from receiver.verifier import growing, public_forms
from receiver.verifier.store import checkpoints, entry, hashes, source, swaps
from receiver.verifier.store.breaks import Code, Report

#: Called with each entry in the order of numbers; those without a number come last. `done`: with how many.
See = Callable[[entry.Entry], None]


@dataclass
class Log:
    """The check of one store's log. `grown` is the tree of the leaves seen so far."""

    store: source.Source
    report: Report
    signed: checkpoints.Signed
    see: See
    done: Callable[[int], None]
    grown: growing.CompactRange = field(init=False)
    #: The number of the next entry.
    number: int = 0
    #: Whether a number is missing: the tree above it cannot be made.
    has_gap: bool = False
    #: The first checkpoint whose root differs: those of later ones follow from it; and the last one of all.
    rewritten: public_forms.Checkpoint | None = None
    last: public_forms.Checkpoint | None = None
    _nodes: _Nodes = field(init=False)

    def __post_init__(self) -> None:
        """Begin with an empty tree."""
        self._nodes = _Nodes(self.store, self.report)
        self.grown = growing.CompactRange(self._nodes.compare)

    def check(self, since: int = 0) -> None:
        """Check all entries; of those below `since` only the hashes, as they are stored."""
        self._compare_roots()
        stored = "SELECT leaf_index, leaf_hash FROM ledger_entries WHERE leaf_index < ? ORDER BY leaf_index"
        if since:
            for rows in self.store.batches(stored, since):
                self._grow_all(rows)
        # Without `since` all numbers are read: a negative one would be seen by the check of rows alone.
        numbered = self._statement(f"leaf_index >= {since}" if since else "leaf_index IS NOT NULL")
        for rows in self.store.batches(numbered):
            self._check_leaves(rows)
            self._grow_all(rows)
        waiting = 0
        for rows in self.store.batches(self._statement("leaf_index IS NULL")):
            self._check_leaves(rows)
            waiting += len(rows)
        self._note_waiting(waiting)
        self.report.size = self.number
        if self.rewritten is not None:
            self._report_rewritten(self.rewritten, self.last or self.rewritten)
        elif not self.has_gap:
            self._nodes.finish(self.signed.size, self.number)
        self.signed.demand_no_more(self.number)

    def _note_waiting(self, count: int) -> None:
        """Report entries without a number: a file numbers each at once, a server some time after its commit."""
        if count and self.store.is_embedded:
            self.report.add(Code.ENTRY_MISSING, f"{count} entries have no number: they are not in the tree")
        elif count:
            self.report.unchecked.append(f"{count} entries that have no number yet: no checkpoint has them")

    def _statement(self, which: str) -> str:
        at, salts = self.store.instant("at"), self.store.json("salts")
        return (
            f"SELECT leaf_index, leaf_hash, body, run_id, kind, actor, {at}, {salts} "
            f"FROM ledger_entries WHERE {which} ORDER BY leaf_index"
        )

    def _check_leaves(self, rows: Sequence[source.Row]) -> None:
        """Check entries, most of which are right, without the sentences of those that are not."""
        for row in rows:
            number, leaf, stored, run, kind, actor, at, salted = row
            body = entry.encoded(stored)
            found, salts = entry.body(body), entry.decode_salts(salted)
            if (
                found is None
                or salts is None
                or hashes.leaf(body) != leaf
                or (found.run, found.kind, found.actor, found.at) != (run, kind, actor, at)
                or not salts.keys() <= found.digests.keys()
            ):
                self._report_leaf(number, bytes(leaf), body, row[3:7], found, salts)
            if found is not None:
                self.see(entry.Entry(number, found, salts or {}))
        self.report.checked["entries"] += len(rows)
        self.done(len(rows))

    def _report_leaf(
        self,
        number: int | None,
        leaf: bytes,
        body: bytes,
        columns: source.Row,
        found: entry.Body | None,
        salts: Mapping[str, str] | None,
    ) -> None:
        named = "an entry without a number" if number is None else f"entry {number}"
        if hashes.leaf(body) != leaf:
            self.report.add(Code.ENTRY_CHANGED, f"the hash of {named} is not that of its bytes", number=number)
        if found is None:
            self.report.add(Code.ENTRY_CHANGED, f"{named} is no entry", number=number)
            return
        if columns != (found.run, found.kind, found.actor, found.at):
            sentence = f"run, kind, actor or time beside {named} are not those in its bytes"
            self.report.add(Code.ENTRY_CHANGED, sentence, run=found.run, number=number)
        if salts is None or not salts.keys() <= found.digests.keys():
            sentence = f"{named} has salts that are not those of its digests"
            self.report.add(Code.SALT_CHANGED, sentence, run=found.run, number=number)

    def _grow_all(self, rows: Sequence[source.Row]) -> None:
        """Add the leaves of entries to the tree, up to each checkpoint at once."""
        at = 0
        if not self.has_gap and [row[0] for row in rows] == [*range(self.number, self.number + len(rows))]:
            while at < len(rows):
                until = int(min(at + self.signed.next_size - self.number, len(rows)))
                self.grown.extend([bytes(row[1]) for row in rows[at:until]])
                self.number += until - at
                at = until
                if self.number >= self.signed.next_size:
                    self._compare_roots()
        for row in rows[at:]:
            self._grow(row[0], bytes(row[1]))

    def _grow(self, number: int, leaf: bytes) -> None:
        if number < self.number:
            self.report.add(Code.ENTRY_CHANGED, f"an entry has the number {number}", number=number)
            return
        if number > self.number:
            which = (
                f"entry {self.number} is"
                if number == self.number + 1
                else f"entries {self.number} to {number - 1} are"
            )
            self.report.add(Code.ENTRY_MISSING, f"{which} missing", number=self.number)
            self.has_gap = True
        self.number = number + 1
        if not self.has_gap:
            self.grown.add(leaf)
        if self.number >= self.signed.next_size:
            self._compare_roots()

    def _compare_roots(self) -> None:
        for checkpoint in self.signed.up_to(self.number):
            if self.has_gap:
                continue
            self.last = checkpoint
            if checkpoint.root == self.grown.root() and self.rewritten is None:
                self._nodes.report()
            elif self.rewritten is None:
                self.rewritten = checkpoint

    def _report_rewritten(self, first: public_forms.Checkpoint, last: public_forms.Checkpoint) -> None:
        """Report that the entries are not those of a checkpoint: `last` has all of those that moved."""
        pair = swaps.find(self.store, last)
        if pair is None:
            sentence = f"the first {first.size} entries are not those of the checkpoint that was signed"
            self.report.add(Code.HISTORY_REWRITTEN, sentence, number=first.size)
            return
        sentence = f"the entries {pair[0]} and {pair[1]} have each other's place"
        self.report.add(Code.ENTRIES_SWAPPED, sentence, number=pair[0])


class _Nodes:
    """The comparison of the nodes that are stored with those that are computed, row by row.

    One that differs is the fault of the node where the root of a later checkpoint is right.
    """

    def __init__(self, store: source.Source, report: Report) -> None:
        self._store = store
        self._report = report
        self._stored: dict[int, Iterator[source.Row]] = {}
        self._next: dict[int, source.Row | None] = {}
        self._missing: list[tuple[int, int]] = []
        self._different: list[tuple[int, int]] = []

    def compare(self, row: int, position: int, found: bytes) -> None:
        """Compare a node with the stored one."""
        if row not in self._stored:
            sql = 'SELECT position, hash FROM ledger_nodes WHERE "row" = ? AND position >= 0 ORDER BY position'
            self._stored[row] = self._store.stream(sql, row)
            self._next[row] = next(self._stored[row], None)
        stored = self._next[row]
        if stored is None or stored[0] != position:
            self._note(self._missing, row, position)
            return
        self._next[row] = next(self._stored[row], None)
        self._report.checked["nodes"] += 1
        if bytes(stored[1]) != found:
            self._note(self._different, row, position)

    def _note(self, faults: list[tuple[int, int]], row: int, position: int) -> None:
        if len(faults) < self._report.limit:
            faults.append((row, position))

    def report(self) -> None:
        """Report the nodes that differ: their entries are right."""
        while self._different:
            self._add(*self._different.pop(0), "is not that of its entries")

    def finish(self, size: int, entries: int) -> None:
        """Report the nodes that differ, those missing below the newest checkpoint, and those of no entries."""
        if size <= entries:  # else the entries may be at fault: some are gone
            self.report()
        for row, position in self._missing:
            if (position + 1) << row * 8 <= min(size, entries):
                self._add(row, position, "is missing")
        rows = self._store.rows('SELECT "row", position FROM ledger_nodes WHERE position < 0 LIMIT 100')
        rows += self._store.rows('SELECT "row", min(position) FROM ledger_nodes GROUP BY "row"')
        extra = [found for found in rows if found[0] not in self._stored or found[1] < 0]
        extra += [(row, found[0]) for row, found in self._next.items() if found is not None]
        for row, position in extra:
            self._add(row, position, "is of no entries")

    def _add(self, row: int, position: int, fault: str) -> None:
        sentence = f"the node {position} of row {row} of the tree {fault}"
        # Eight rows are above 2^64 entries; another program may have written any number.
        first = max(position, 0) << row * 8 if 0 <= row < 8 else None
        self._report.add(Code.TILE_CHANGED, sentence, number=first, table="ledger_nodes")
