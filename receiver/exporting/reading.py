"""The way back: lines of an export as records, and whether a file is a whole one. For any bytes whatever.

A line is taken within the bounds that the upstream's answers have here, since another version, or a hand, may have
written it: an instant or a duration that cannot be is left out, and what is too long or too large is refused.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeVar

import pydantic_core
from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from receiver import errors, shapes
from receiver.exporting import forms, lines
from storage import bounds, documents, export, ids, merkle, runs, states

#: Bytes of one line at most; of a trailer; and of what a ledger entry repeats, all of it together.
LINE, TRAILER, NAMES = 1 << 30, 4096, 4096
#: Characters of a note in a document, and fields that it names.
NOTE, NAMED = 1000, 10
_PARTS = frozenset(("steps", "usage", "documents"))
_LEDGER = ("agent_id", "model", "submitted_by", "failure_source")

_TRAILER = b'{"trailer":'
_ID = re.compile(shapes.ID)
V = TypeVar("V", bound="runs.Run | documents.Step | documents.Usage | documents.Document")
_RUN = TypeAdapter(runs.Run)
_INSTANT = TypeAdapter(datetime)
_STEP = TypeAdapter(documents.Step)
_USAGE = TypeAdapter(documents.Usage)
_END = TypeAdapter(forms.End)
#: Instants without which a run that has ended is none: they are ours.
_NEEDED = frozenset(("accepted_at", "settled_at", "pruned_at", "fetched_at"))
_OWN: dict[str, Any] = dict.fromkeys(export.OWN) | {"seq": 0, "watched": False}


@dataclass(frozen=True, slots=True)
class Whole:
    """A file that is as it was written: its trailer, and the bytes before that."""

    end: forms.End
    size: int


def whole(file: BinaryIO) -> Whole:
    """Checks a file against its trailer. Raises BadExport where it was cut off, or changed since.

    A byte-order mark that an editor has put in front is no part of what was written.
    """
    last, size = _last_line(file)
    end = _end(last)
    file.seek(0)
    digest, records, at = hashlib.sha256(), 0, 0
    for line in _lines(file):
        at += len(line)
        if at > size:
            break
        digest.update(line.removeprefix(codecs.BOM_UTF8) if at == len(line) else line)
        records += 1
        if end.after is not None and end.after.encode() in line and _id(line) == end.after:
            digest, records = hashlib.sha256(), 0  # what came before was told by an earlier answer
    if records != end.records:
        raise errors.BadExport(f"the trailer says {end.records} runs, and there are {records}")
    if digest.hexdigest() != end.sha256:
        raise errors.BadExport("it is not as it was written: its SHA-256 is not the one that the trailer says")
    return Whole(end, size)


def _last_line(file: BinaryIO) -> tuple[bytes, int]:
    """The last line, and how many bytes stand before it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - TRAILER))
    tail = file.read()
    last = tail[tail[:-1].rfind(b"\n") + 1 :]
    return last, size - len(last)


def _end(last: bytes) -> forms.End:
    cut = "it was cut off: its last line is no trailer. Export it again, go on with `export --resume`, or take "
    try:
        told = pydantic_core.from_json(last) if last.endswith(b"\n") else None
        if isinstance(told, dict) and set(told) == {"trailer"}:
            return _END.validate_python(told["trailer"])
    except ValueError:
        pass
    raise errors.BadExport(cut + "what there is with --partial")


def _id(line: bytes) -> Any:
    try:
        told = pydantic_core.from_json(line)
    except ValueError:
        return None
    return told.get("id") if isinstance(told, dict) else None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LINE):
        if len(line) == LINE:
            raise errors.BadExport(f"a line is longer than {LINE >> 20} MiB")
        yield line


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file goes that may have been cut off: its whole lines, the bytes of them, the last run."""

    records: int
    size: int
    last: str | None
    digest: Any


def place(file: BinaryIO) -> Place:
    """The last whole line of a file that was cut off. Raises BadExport for one that ends with its trailer."""
    file.seek(0)
    digest, records, size, last = hashlib.sha256(), 0, 0, None
    for line in _lines(file):
        is_whole = line.endswith(b"\n")
        if is_whole and line.startswith(_TRAILER):
            raise errors.BadExport("it is whole: there is nothing to go on with")
        told = _id(line) if is_whole else None
        if not isinstance(told, str):
            break
        digest.update(line)
        records, size, last = records + 1, size + len(line), told
    return Place(records, size, last, digest)


@dataclass(frozen=True, slots=True)
class Report:
    """Sentences about single lines: those that hold no run that can be taken, and what was left out of others."""

    refused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def records(
    file: BinaryIO, size: int | None, now: datetime, report: Report | None = None
) -> Iterator[tuple[export.Record, int]]:
    """The records in the first `size` bytes, with the bytes read so far; of None all whole lines but a trailer.

    A line that is wrong goes into the `report`, and the next one is read. Without one it raises BadExport with the
    number of the line.
    """
    file.seek(0)
    at = 0
    for number, line in enumerate(_lines(file), 1):
        at += len(line)
        if size is None and (not line.endswith(b"\n") or line.startswith(_TRAILER)):
            return
        if size is not None and at > size:
            return
        try:
            read, left_out = _record(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, now)
        except (ValueError, OverflowError, RecursionError) as error:
            sentence = f"line {number}: {_whose(line)}{_said(error)}"
            if report is None:
                raise errors.BadExport(sentence) from None
            report.refused.append(sentence)
            continue
        if report is not None and left_out:
            report.left_out.append(f"line {number}: run {read.run.id}: {_few(left_out)}")
        yield read, at


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _whose(line: bytes) -> str:
    told = _id(line)
    return f"run {told}: " if isinstance(told, str) and _ID.fullmatch(told) else ""


def _said(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"


def record(line: bytes, now: datetime) -> export.Record:
    """A line as a record. Raises ValueError, OverflowError."""
    return _record(line, now)[0]


def _record(line: bytes, now: datetime) -> tuple[export.Record, list[str]]:
    """A line as a record, and what was left out of it since it cannot be."""
    told = pydantic_core.from_json(line, allow_inf_nan=False)
    if not isinstance(told, dict):
        raise ValueError("is no object")
    _demand_plain({name: value for name, value in told.items() if name != "documents"})
    if unknown := sorted(set(told) - set(forms.FIELDS) - _PARTS):
        raise ValueError(f"{unknown[0][:80]} is unknown: a newer release may have written it")
    clean = _Cleaning(now)
    run, steps = _run(told, clean), _rows(_STEP, told, "steps", lines.STEP, clean)
    if run.pruned_at is None and run.step_count != len(steps):
        raise ValueError(f"stepCount: says {run.step_count}, and there are {len(steps)}")
    usage, held = _rows(_USAGE, told, "usage", lines.USAGE, clean), told.get("documents")
    kept = None if held is None else [_document(each, at, clean) for at, each in enumerate(_listed(held), 1)]
    return export.Record(run, steps, usage, _noted(kept, clean.left_out)), clean.left_out


def _noted(
    held: Sequence[documents.Document] | None, left_out: Sequence[str]
) -> Sequence[documents.Document] | None:
    """The documents, the last one with a note of what was left out at the import."""
    if not held or not left_out:
        return held
    last = held[-1]
    parts = [last.parse_error, f"left out at the import: {_few(left_out)}"]
    return [*held[:-1], replace(last, parse_error="; ".join(part for part in parts if part)[:NOTE])]


def _run(told: Mapping[str, Any], clean: _Cleaning) -> runs.Run:
    values = {field: told[name] for name, field in forms.FIELDS.items() if name in told}
    run: runs.Run = _RUN.validate_python({"submitted_by": states.Submitter.IMPORT.value, **values, **_OWN})
    if not (_ID.fullmatch(run.id) and ids.is_ours(run.id)):
        raise ValueError("id: is none that Runledger gave")
    if run.upstream_id is not None and not _ID.fullmatch(run.upstream_id):
        raise ValueError("upstreamId: may hold letters, digits, _ and - only, 1 to 128 of them")
    if sum(len((getattr(run, name) or "").encode()) for name in _LEDGER) > NAMES:
        raise ValueError(f"agentId, model, submittedBy, failureSource: are more than {NAMES} bytes")
    for name, most in _LENGTHS.items():
        _demand_short(to_camel(name), getattr(run, name), most)
    for key, value in run.tags.items():
        _demand_short("tags: a name", key, bounds.TAG_KEY)
        _demand_short(f"tags: {key}", value, bounds.TAG_VALUE)
    return clean.value(run)


#: Characters of what stands in an index.
_LENGTHS = {
    "agent_id": bounds.NAME,
    "model": bounds.NAME,
    "submitted_by": bounds.NAME,
    "idempotency_key": bounds.IDEMPOTENCY_KEY,
}


def _demand_short(name: str, text: str | None, most: int) -> None:
    if text is not None and len(text) > most:
        raise ValueError(f"{name}: has {len(text)} characters, more than the {most} that an index takes")


def _rows(
    kind: TypeAdapter[Any], told: Mapping[str, Any], part: str, names: Mapping[str, str], clean: _Cleaning
) -> list[Any]:
    rows = [_row(kind, each, names) for each in _listed(told.get(part, []))]
    if [row.position for row in rows] != list(range(len(rows))) or len(rows) > documents.ROWS:
        raise ValueError(f"steps, usage: positions go from 0 on, without a gap, and below {documents.ROWS}")
    return [clean.value(row, f"{part}[{at}].") for at, row in enumerate(rows)]


def _row(kind: TypeAdapter[Any], told: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    values = {field: told[name] for name, field in names.items() if name in told}
    return kind.validate_python(values | {"salt": merkle.salt()})


def _listed(told: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise ValueError("steps, usage, documents: each is a list of objects")
    return told


def _document(told: Mapping[str, Any], number: int, clean: _Cleaning) -> documents.Document:
    """Raises ValueError where the bytes are not those that the digest says."""
    text, packed = told.get("text"), told.get("base64")
    body = text.encode() if isinstance(text, str) else base64.b64decode(str(packed), validate=True)
    if hashlib.sha256(body).hexdigest() != told.get("sha256") or told.get("version") != number:
        raise ValueError(f"document {number}: its bytes are not those of its SHA-256, or a version is missing")
    fetched = _INSTANT.validate_python(told.get("fetchedAt"))
    error = told.get("parseError")
    parse_error = None if error is None else str(error)
    _demand_plain(parse_error)
    return clean.value(documents.packed(body, fetched, parse_error, number), f"documents[{number - 1}].")


class _Cleaning:
    """Brings values within bounds, and keeps the names of what had to be left out for that."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.left_out: list[str] = []

    def value(self, value: V, path: str = "") -> V:
        """The same with each instant in UTC, and none, nor any duration, that cannot be. Raises ValueError."""
        changes: dict[str, Any] = {}
        for name in (each.name for each in fields(value)):
            held = getattr(value, name)
            if isinstance(held, datetime):
                changes[name] = self._instant(name, held, path)
            elif isinstance(held, int) and self._is_absurd(name, held, path):
                changes[name] = None
        return replace(value, **changes)

    def _instant(self, name: str, held: datetime, path: str) -> datetime | None:
        if held.tzinfo is None:
            raise ValueError(f"{path}{to_camel(name)}: has no time zone")
        if bounds.is_plausible(held, self._now):
            return held.astimezone(UTC)
        if name in _NEEDED:
            raise ValueError(f"{path}{to_camel(name)}: lies before 2000 or more than a year ahead")
        self.left_out.append(path + to_camel(name))
        return None

    def _is_absurd(self, name: str, held: int, path: str) -> bool:
        """Whether it is a duration that cannot be."""
        if not 0 <= held < bounds.INTEGER:
            raise ValueError(f"{path}{to_camel(name)}: is out of range, which goes from 0 to {bounds.INTEGER - 1}")
        if name == "duration_ms" and held > bounds.DURATION_MS:
            self.left_out.append(path + to_camel(name))
            return True
        return False


def _demand_plain(told: Any) -> None:
    """No NUL, which no database keeps, no number without an end; deeper than a parser goes nothing is."""
    if isinstance(told, str):
        if "\x00" in told:
            raise ValueError("holds the character NUL")
    elif isinstance(told, float):
        if not math.isfinite(told):
            raise ValueError("holds a number that is too large")
    elif isinstance(told, dict):
        for name, value in told.items():
            _demand_plain(name)
            _demand_plain(value)
    elif isinstance(told, list):
        for each in told:
            _demand_plain(each)
