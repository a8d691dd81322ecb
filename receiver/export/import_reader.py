"""Reading of export files: lines as records, and whether a file is complete. It accepts any bytes.

A line is taken within the same bounds as the upstream's answers, since another version or a person may have
written it: an impossible instant or duration is left out, and what is too long or too large is refused.
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

from receiver import errors
from receiver.export import flow, formats, jsonl, run_columns
from receiver.schemas import text_types
from storage import bounds, ids, merkle, results, states
from storage.query import run_chunks
from storage.repositories import documents, runs
from storage.tables.declare import ROWS_PER_RUN

JsonObject = Mapping[str, Any]

#: The most bytes of one line, of a trailer, and of all the values that a ledger entry repeats.
LINE, TRAILER, NAMES = 1 << 30, 4096, 4096
#: The most characters of a note in a document, and the most fields that it names.
NOTE, NAMED = 1000, 10
_PARTS = frozenset(("steps", "usage", "documents"))
_LEDGER = ("agent_id", "model", "submitted_by", "failure_source")

_TRAILER = b'{"trailer":'
_ID = re.compile(text_types.ID)
V = TypeVar("V", bound="runs.Run | results.Step | results.Usage | documents.Document")
_RUN = TypeAdapter(runs.Run)
_INSTANT = TypeAdapter(datetime)
_STEP = TypeAdapter(results.Step)
_USAGE = TypeAdapter(results.Usage)
_END = TypeAdapter(formats.Summary)
#: Instants that Runledger itself has set: they must be valid.
_REQUIRED = frozenset(("accepted_at", "settled_at", "pruned_at", "fetched_at"))
_OWN: dict[str, Any] = dict.fromkeys(run_chunks.LOCAL_COLUMNS) | {"seq": 0, "watched": False}


def verify(file: BinaryIO) -> int:
    """Check a file against its trailer, and return the number of bytes before it.

    Raises InvalidExport where it was truncated, or changed since. A byte-order mark that an editor added at the
    start is ignored.
    """
    last, size = _last_line(file)
    end = _end(last)
    digest, records = hashlib.sha256(), 0
    for line, at in _lines(file):
        if at > size:
            break
        digest.update(line.removeprefix(codecs.BOM_UTF8) if at == len(line) else line)
        records += 1
        if end.after is not None and end.after.encode() in line and _id(line) == end.after:
            digest, records = hashlib.sha256(), 0  # the earlier part was written by another export
    if records != end.records:
        raise errors.InvalidExport(f"the trailer says {end.records} runs, but the file has {records}")
    if digest.hexdigest() != end.sha256:
        raise errors.InvalidExport("the file was changed: its SHA-256 is not the one in the trailer")
    return size


def _last_line(file: BinaryIO) -> tuple[bytes, int]:
    """Return the last line, and the number of bytes before it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - TRAILER))
    tail = file.read()
    last = tail[tail[:-1].rfind(b"\n") + 1 :]
    return last, size - len(last)


def _end(last: bytes) -> formats.Summary:
    try:
        values = pydantic_core.from_json(last) if last.endswith(b"\n") else None
        if isinstance(values, dict) and set(values) == {"trailer"}:
            return _END.validate_python(values["trailer"])
    except ValueError:
        pass
    raise errors.InvalidExport(
        "it was cut off: its last line is no trailer. Export it again, resume it with `export --resume`, or "
        "import the whole lines with --partial"
    )


def _id(line: bytes) -> object:
    try:
        values = pydantic_core.from_json(line)
    except ValueError:
        return None
    return values.get("id") if isinstance(values, dict) else None


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield all lines, each with the number of bytes up to its end."""
    at = file.seek(0)
    while line := file.readline(LINE):
        if len(line) == LINE:
            raise errors.InvalidExport(f"a line is longer than {LINE >> 20} MiB")
        at += len(line)
        yield line, at


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The point up to which a truncated file is complete: its whole lines, their bytes, the id of the last run."""

    records: int
    size: int
    last: str | None
    digest: flow.Digest


def resume_point(file: BinaryIO) -> ResumePoint:
    """Return the end of the last whole line of a truncated file. Raises InvalidExport for a complete file."""
    digest, records, size, last = hashlib.sha256(), 0, 0, None
    for line, at in _lines(file):
        is_whole = line.endswith(b"\n")
        if is_whole and line.startswith(_TRAILER):
            raise errors.InvalidExport("the file is complete: there is nothing to resume")
        run_id = _id(line) if is_whole else None
        if not isinstance(run_id, str):
            break
        digest.update(line)
        records, size, last = records + 1, at, run_id
    return ResumePoint(records, size, last, digest)


@dataclass(frozen=True, slots=True)
class Report:
    """Sentences about single lines: the lines that were refused, and the values that were left out of others."""

    refused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def records(
    file: BinaryIO, size: int | None, now: datetime, report: Report
) -> Iterator[tuple[run_chunks.Record, int]]:
    """Yield the records in the first `size` bytes, each with the number of bytes read so far.

    For None they are those in all whole lines but a trailer. An invalid line is added to the `report`, and reading
    continues.
    """
    for number, (line, at) in enumerate(_lines(file), 1):
        if size is None and (not line.endswith(b"\n") or line.startswith(_TRAILER)):
            return
        if size is not None and at > size:
            return
        try:
            read, left_out = record(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, now)
        except (ValueError, OverflowError, RecursionError) as error:
            run_id = _id(line)
            run = f"run {run_id}: " if isinstance(run_id, str) and _ID.fullmatch(run_id) else ""
            report.refused.append(f"line {number}: {run}{_message(error)}")
            continue
        if left_out:
            report.left_out.append(f"line {number}: run {read.run.id}: {_few(left_out)}")
        yield read, at


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _message(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"


def record(line: bytes, now: datetime) -> tuple[run_chunks.Record, list[str]]:
    """Return a line as a record, and the impossible values left out. Raises ValueError, OverflowError."""
    values = pydantic_core.from_json(line, allow_inf_nan=False)
    if not isinstance(values, dict):
        raise ValueError("is not a JSON object")
    _require_storable({name: value for name, value in values.items() if name != "documents"})
    if unknown := sorted(set(values) - set(run_columns.FIELDS) - _PARTS):
        raise ValueError(f"{unknown[0][:80]} is unknown: a newer release may have written it")
    cleaner = _Cleaner(now)
    run, steps = _run(values, cleaner), _rows(_STEP, values, "steps", jsonl.STEP_FIELDS, cleaner)
    if run.pruned_at is None and run.step_count != len(steps):
        raise ValueError(f"stepCount: says {run.step_count}, and there are {len(steps)}")
    usage, listed = _rows(_USAGE, values, "usage", jsonl.USAGE_FIELDS, cleaner), values.get("documents")
    stored = (
        None if listed is None else [_document(each, at, cleaner) for at, each in enumerate(_listed(listed), 1)]
    )
    return run_chunks.Record(run, steps, usage, _noted(stored, cleaner.left_out)), cleaner.left_out


def _noted(
    stored: Sequence[documents.Document] | None, left_out: Sequence[str]
) -> Sequence[documents.Document] | None:
    """Return the documents, the last one with a note of what was left out at the import."""
    if not stored or not left_out:
        return stored
    last = stored[-1]
    parts = [last.parse_error, f"left out at the import: {_few(left_out)}"]
    return [*stored[:-1], replace(last, parse_error="; ".join(part for part in parts if part)[:NOTE])]


def _run(line: JsonObject, cleaner: _Cleaner) -> runs.Run:
    values = {field: line[name] for name, field in run_columns.FIELDS.items() if name in line}
    run: runs.Run = _RUN.validate_python({"submitted_by": states.Submitter.IMPORT.value, **values, **_OWN})
    if not (_ID.fullmatch(run.id) and ids.is_ours(run.id)):
        raise ValueError("id: is none that Runledger gave")
    if run.again_of is not None and not ids.is_ours(run.again_of):
        raise ValueError("againOf: is no id that Runledger gave")
    if run.upstream_id is not None and not _ID.fullmatch(run.upstream_id):
        raise ValueError("upstreamId: may hold letters, digits, _ and - only, 1 to 128 of them")
    if sum(len((getattr(run, name) or "").encode()) for name in _LEDGER) > NAMES:
        raise ValueError(f"agentId, model, submittedBy, failureSource: are more than {NAMES} bytes")
    for name, most in _LENGTHS.items():
        _require_short(to_camel(name), getattr(run, name), most)
    for key, value in run.tags.items():
        _require_short("tags: a name", key, bounds.TAG_KEY)
        _require_short(f"tags: {key}", value, bounds.TAG_VALUE)
    return cleaner.value(run)


#: The most characters of values that are indexed.
_LENGTHS = {
    "agent_id": bounds.NAME,
    "model": bounds.NAME,
    "submitted_by": bounds.NAME,
    "idempotency_key": bounds.IDEMPOTENCY_KEY,
}


def _require_short(name: str, text: str | None, most: int) -> None:
    if text is not None and len(text) > most:
        raise ValueError(f"{name}: has {len(text)} characters, more than the {most} that an index takes")


def _rows(
    kind: TypeAdapter[Any], line: JsonObject, part: str, names: Mapping[str, str], cleaner: _Cleaner
) -> list[Any]:
    given = [{names[name]: row[name] for name in names if name in row} for row in _listed(line.get(part, []))]
    rows = [kind.validate_python(values | {"salt": merkle.salt()}) for values in given]
    if [row.position for row in rows] != list(range(len(rows))) or len(rows) > ROWS_PER_RUN:
        raise ValueError(f"steps, usage: positions go from 0 on, without a gap, and below {ROWS_PER_RUN}")
    return [cleaner.value(row, f"{part}[{at}].") for at, row in enumerate(rows)]


def _listed(value: object) -> Sequence[JsonObject]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("steps, usage, documents: each must be a list of objects")
    return value


def _document(values: JsonObject, number: int, cleaner: _Cleaner) -> documents.Document:
    """Return a document. Raises ValueError where its bytes do not match its SHA-256."""
    text, encoded = values.get("text"), values.get("base64")
    body = text.encode() if isinstance(text, str) else base64.b64decode(str(encoded), validate=True)
    if hashlib.sha256(body).hexdigest() != values.get("sha256") or values.get("version") != number:
        raise ValueError(f"document {number}: its bytes are not those of its SHA-256, or a version is missing")
    fetched = _INSTANT.validate_python(values.get("fetchedAt"))
    error = values.get("parseError")
    parse_error = None if error is None else str(error)
    _require_storable(parse_error)
    return cleaner.value(documents.compress(body, fetched, parse_error, number), f"documents[{number - 1}].")


class _Cleaner:
    """A cleaner that brings values within bounds and collects the names of omitted ones."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.left_out: list[str] = []

    def value(self, value: V, path: str = "") -> V:
        """Return the value with its instants in UTC, and without impossible instants and durations.

        Raises ValueError for values that cannot be left out.
        """
        changes: dict[str, Any] = {}
        for name in (each.name for each in fields(value)):
            current = getattr(value, name)
            if isinstance(current, datetime):
                changes[name] = self._instant(name, current, path)
            elif isinstance(current, int) and self._is_impossible(name, current, path):
                changes[name] = None
        return replace(value, **changes)

    def _instant(self, name: str, instant: datetime, path: str) -> datetime | None:
        if instant.tzinfo is None:
            raise ValueError(f"{path}{to_camel(name)}: has no time zone")
        if bounds.is_plausible(instant, self._now):
            return instant.astimezone(UTC)
        if name in _REQUIRED:
            raise ValueError(f"{path}{to_camel(name)}: lies before 2000 or more than a year ahead")
        self.left_out.append(path + to_camel(name))
        return None

    def _is_impossible(self, name: str, number: int, path: str) -> bool:
        """Return whether a field is an impossible duration. Raises ValueError for a number out of range."""
        if not 0 <= number < bounds.INTEGER:
            raise ValueError(f"{path}{to_camel(name)}: is out of range, which goes from 0 to {bounds.INTEGER - 1}")
        if name == "duration_ms" and number > bounds.DURATION_MS:
            self.left_out.append(path + to_camel(name))
            return True
        return False


def _require_storable(value: object) -> None:
    """Raise ValueError for NUL, which no database stores, and for infinite numbers.

    The recursion is bounded: the parser refuses deeper nesting.
    """
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("contains the character NUL")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("contains a number that is too large")
    elif isinstance(value, dict):
        for name, member in value.items():
            _require_storable(name)
            _require_storable(member)
    elif isinstance(value, list):
        for each in value:
            _require_storable(each)
