"""What every form of an export has, and the columns of those that have a line per run. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from pydantic.alias_generators import to_camel

from receiver import escaped
from storage import columns, export, runs

#: The fields of a run that are told, by the names that they have outside.
FIELDS = {to_camel(each.name): each.name for each in fields(runs.Run) if each.name not in export.OWN}
INSTANTS = frozenset(to_camel(each.name) for each in fields(runs.Run) if str(each.type).startswith("datetime"))
NUMBERS = frozenset(to_camel(each.name) for each in fields(runs.Run) if str(each.type).startswith("int"))


#: Runs that are named at most, so that a trailer stays short; and what tells of them.
NAMED = 50
_MISSING = ("unwritten", "unwritten_runs")


class Format(StrEnum):
    """The forms that there are."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class End:
    """What a whole export says of itself: how many runs, and the SHA-256 of all bytes before the trailer.

    `after` is the run behind which it began, `unindexed` how many runs had words that could not be found yet,
    `unwritten` how many runs are missing since what is stored of them cannot be read; the first of them are named.
    """

    records: int
    sha256: str
    after: str | None = None
    unindexed: int | None = None
    unwritten: int = 0
    unwritten_runs: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """The trailer: what is missing is told where something is."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in told.items() if self.unwritten or name not in _MISSING}


class Form(Protocol):
    """Bytes of records: `head`, then `rows` as often as there are some, `foot`, `trailer`."""

    media_type: str

    def head(self) -> bytes: ...
    def rows(self, records: Sequence[export.Record]) -> bytes: ...
    def foot(self) -> bytes: ...
    def trailer(self, end: End) -> bytes: ...


def flat(run: runs.Run) -> Iterator[Any]:
    """The cells of a run, in the order of FIELDS: texts, numbers, instants; structures as JSON.

    Raises ValueError for a value that is not UTF-8 in the store.
    """
    for name in FIELDS.values():
        value = getattr(run, name)
        if isinstance(value, bytes):
            raise ValueError(f"{name} is not UTF-8")
        yield compact(value) if isinstance(value, Mapping | list | tuple) else value


def plain(value: Any) -> Any:
    """An instant as text; the rest is JSON already."""
    return columns.text(value) if isinstance(value, datetime) else value


def compact(value: Any) -> str:
    """JSON in one line for any reader of lines, with the names of each object sorted."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return escaped.one_line(text)
