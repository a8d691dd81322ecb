"""The checkpoints of a store, and one that was kept elsewhere, in the order of their sizes."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

from receiver.verifier import public_forms
from receiver.verifier.store import signatures, source
from receiver.verifier.store.breaks import Code, Report


class Signed:
    """The checkpoints whose signatures are right. `kept` are those that others have kept."""

    def __init__(
        self,
        store: source.Source,
        report: Report,
        trusted: signatures.Trusted,
        kept: list[public_forms.Checkpoint],
    ) -> None:
        self.size = 0
        self._store = store
        self._report = report
        self._trusted = trusted
        self._kept = sorted(kept, key=lambda each: each.size)
        self._rows = store.stream("SELECT size, root, note FROM ledger_checkpoints ORDER BY size")
        self._stored = self._read()
        self._waiting = next(self._stored, None)

    @property
    def next_size(self) -> float:
        """Return the size of the next checkpoint."""
        stored = math.inf if self._waiting is None else self._waiting.size
        return min(stored, self._kept[0].size if self._kept else math.inf)

    def up_to(self, size: int) -> Iterator[public_forms.Checkpoint]:
        """Yield the checkpoints of up to so many entries that were not yielded before."""
        while self._waiting is not None and self._waiting.size <= size:
            yield self._waiting
            self._waiting = next(self._stored, None)
        while self._kept and self._kept[0].size <= size:
            yield self._kept.pop(0)

    def demand_no_more(self, size: int) -> None:
        """Report the checkpoints of more entries than there are, and check the lines of the witnesses."""
        left = [each for each in [self._waiting, *self._stored] if each is not None]
        if left:
            sentence = f"there are {size} entries, and a checkpoint of {left[-1].size} was signed"
            self._report.add(Code.TAIL_CUT, sentence, number=size)
        for each in self._kept:
            sentence = f"there are {size} entries, and the checkpoint that was kept has {each.size}"
            self._report.add(Code.OLDER_COPY, sentence, number=size)
        self._check_cosignatures()

    def _read(self) -> Iterator[public_forms.Checkpoint]:
        """Yield what can be compared: what is signed with a key of the policy."""
        for size, root, note in self._rows:
            self._report.checked["checkpoints"] += 1
            self._report.signed_size = self.size = size
            try:
                found = public_forms.parse_checkpoint(note.encode("utf-8", "surrogateescape"))
            except public_forms.Refused as refused:
                self._add(Code.SIGNATURE_WRONG, size, f"cannot be read: {refused}")
                continue
            faults = [*signatures.faults(found, self._trusted)]
            for code, fault in faults:
                self._add(code, size, f"is not trusted: {fault}")
            if not faults and (found.size, found.root) != (size, bytes(root)):
                self._add(Code.ROW_CHANGED, size, "has another size or root than its note")
            elif not faults:
                yield found

    def _check_cosignatures(self) -> None:
        sql = (
            "SELECT c.size, c.witness, c.line, k.note FROM ledger_cosignatures c "
            "LEFT JOIN ledger_checkpoints k ON k.size = c.size ORDER BY c.size"
        )
        policy, unknown, newest = self._trusted.policy, Counter[str](), 0
        recorded = "SELECT size FROM ledger_reports WHERE subject = 'quorum' AND size IS NOT NULL"
        missing = {size for (size,) in self._store.rows(recorded)} if policy.quorum != "none" else set[int]()
        for size, rows in itertools.groupby(self._store.stream(sql), lambda row: row[0]):
            titles = [self._cosigner(size, witness, line, note, unknown) for _, witness, line, note in rows]
            signed = [title for title in titles if title is not None]
            if policy.quorum != "none" and public_forms.is_reached(policy.quorum, policy, signed):
                newest = size
                missing.discard(size)
        for size in missing:
            self._add(
                Code.ROW_MISSING, size, f"lacks signatures of the quorum {policy.quorum}, which it had", _LINES
            )
        if policy.quorum != "none" and not newest and not missing:
            self._report.unchecked.append(
                f"the quorum {policy.quorum}, which has signed no checkpoint of the store"
            )
        if unknown:
            names = ", ".join(sorted(unknown)[:5])
            noun = "signature" if unknown.total() == 1 else "signatures"
            sentence = f"{unknown.total()} {noun} of witnesses that the policy does not name: {names}"
            self._report.unchecked.append(sentence)

    def _cosigner(self, size: int, witness: str, line: str, note: str | None, unknown: Counter[str]) -> str | None:
        """Return the title of the witness whose signature is right."""
        if note is None:
            self._add(Code.ROW_MISSING, size, f"is missing, and the witness {witness} has signed it")
            return None
        try:
            title, key = signatures.cosigner(note.rpartition("\n\n")[0] + "\n", line, self._trusted)
        except LookupError:
            unknown[witness] += 1
            return None
        except public_forms.Refused as fault:
            self._report.checked["cosignatures"] += 1
            sentence = f"has a line of the witness {witness}, and {fault}"
            self._add(Code.SIGNATURE_WRONG, size, sentence, _LINES)
            return None
        self._report.checked["cosignatures"] += 1
        if witness != f"{key.name}+{key.id.hex()}":
            self._add(Code.ROW_CHANGED, size, f"has a line of the witness {key.name} under another name", _LINES)
        return title

    def _add(self, code: Code, size: int, fault: str, table: str = "ledger_checkpoints") -> None:
        self._report.add(code, f"the checkpoint of {size} entries {fault}", number=size, table=table)


_LINES = "ledger_cosignatures"
