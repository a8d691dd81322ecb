"""Compare one value of a store with its digest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from receiver.verifier.store.breaks import Code, Report
from receiver.verifier.store.expected import SALT, Sealed

_SALT = re.compile(rf"[0-9a-f]{{{2 * SALT}}}", re.ASCII)


@dataclass(frozen=True)
class Place:
    """Where a value is, and what a sentence calls it."""

    title: str
    table: str
    column: str | None = None
    run: str | None = None
    number: int | None = None


def value(
    report: Report,
    place: Place,
    name: str,
    sealed: Sealed,
    stored: bytes | None,
    *,
    is_erased: bool,
    is_sure: bool = False,
) -> None:
    """Compare a value with its digest. `is_sure`: another hash beside the value says that it is unchanged."""
    is_gone = stored is None or (stored == b"" and sealed.salt is None)
    if is_gone and (sealed.is_optional or (is_erased and sealed.salt is None)):
        report.checked["erased"] += not sealed.is_optional
    elif stored is None or is_gone:
        _add(report, Code.ROW_CHANGED, place, f"{place.title} is gone, and no entry says that it was erased")
    elif sealed.salt is None:
        _add(report, Code.SALT_CHANGED, place, f"{place.title} is there, and the salt of its digest is gone")
    elif _SALT.fullmatch(sealed.salt) is None:
        _add(report, Code.SALT_CHANGED, place, f"the salt of {place.title} is no salt")
    elif not sealed.fits(name, stored):
        code = Code.SALT_CHANGED if is_sure else Code.ROW_CHANGED
        _add(report, code, place, f"{place.title} is not that of {sealed.entry.title}, or its salt was changed")
    else:
        report.checked["digests"] += 1


def _add(report: Report, code: Code, place: Place, sentence: str) -> None:
    report.add(code, sentence, run=place.run, number=place.number, table=place.table, column=place.column)


def add(
    report: Report, code: Code, run: dict[str, Any], table: str, sentence: str, column: str | None = None
) -> None:
    """Add a break of rows that belong to a run."""
    report.add(code, f"{sentence} of the run {run['id']}", run=run["id"], table=table, column=column)
