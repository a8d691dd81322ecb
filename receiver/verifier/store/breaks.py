"""What a verification found: breaks by their codes, and the counts of what was checked. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """The kinds of breaks. They are stable: programs compare them."""

    ROW_CHANGED = "row_changed"
    ROW_MISSING = "row_missing"
    ROW_ADDED = "row_added"
    SALT_CHANGED = "salt_changed"
    ENTRY_CHANGED = "entry_changed"
    ENTRY_MISSING = "entry_missing"
    ENTRIES_SWAPPED = "entries_swapped"
    TAIL_CUT = "tail_cut"
    TILE_CHANGED = "tile_changed"
    KEY_UNKNOWN = "key_unknown"
    SIGNATURE_WRONG = "signature_wrong"
    HISTORY_REWRITTEN = "history_rewritten"
    OLDER_COPY = "older_copy"


@dataclass(frozen=True)
class Break:
    """One break: its code, a sentence, and where it is, as far as that is known."""

    code: Code
    sentence: str
    run: str | None = None
    number: int | None = None
    table: str | None = None
    column: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Return what is known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass
class Report:
    """The outcome of a verification. At most `limit` breaks are listed; all are counted."""

    limit: int = 100
    #: The number of numbered entries, and the size of the newest checkpoint of the store.
    size: int = 0
    signed_size: int = 0
    checked: Counter[str] = field(default_factory=Counter)
    breaks: list[Break] = field(default_factory=list)
    counts: Counter[Code] = field(default_factory=Counter)
    #: Sentences that say what was not checked.
    unchecked: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Return whether nothing is broken."""
        return not self.counts

    def add(
        self,
        code: Code,
        sentence: str,
        *,
        run: str | None = None,
        number: int | None = None,
        table: str | None = None,
        column: str | None = None,
    ) -> None:
        """Count a break, and list it where there is room."""
        self.counts[code] += 1
        if len(self.breaks) < self.limit:
            self.breaks.append(Break(code, sentence, run, number, table, column))

    @property
    def breaks_by_code(self) -> Mapping[str, int]:
        """Return how many breaks of each code there are."""
        return {code.value: self.counts[code] for code in Code if self.counts[code]}
