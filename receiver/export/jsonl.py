"""JSON Lines: a line for each run, with its tags, steps and usage, and on request its documents. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from pydantic.alias_generators import to_camel

from receiver import json_lines
from receiver.export import formats, run_columns
from storage.engine import column_types
from storage.query import run_chunks
from storage.repositories import documents

#: The fields of steps and usage entries, by their names in the file.
STEP_FIELDS = {to_camel(name): name for name in run_chunks.STEP_COLUMNS}
USAGE_FIELDS = {to_camel(name): name for name in run_chunks.USAGE_COLUMNS}

_encode_lines = msgspec.json.Encoder(order="sorted").encode_lines


class JsonLinesWriter(formats.Writer[run_chunks.RunRows]):
    """The writer of JSON Lines, the format that can be imported again.

    Equal content gives equal bytes, whichever database stores it.
    """

    media_type = "application/jsonl"
    reads_rows = True

    def __init__(self, has_trailer: bool = True) -> None:
        self._has_trailer = has_trailer

    def rows(self, records: Sequence[run_chunks.RunRows]) -> bytes:
        return json_lines.one_line_each(_encode_lines(list(map(_run, records))))

    def trailer(self, end: formats.Summary) -> bytes:
        return (formats.compact({"trailer": end.as_json()}) + "\n").encode() if self._has_trailer else b""


def _object(name: str, fields: Iterable[str]) -> Callable[..., Any]:
    return msgspec.defstruct(name, [(field, Any) for field in fields], gc=False)


_Step, _Usage = _object("Step", STEP_FIELDS), _object("Usage", USAGE_FIELDS)
_Run = _object("Run", [*run_columns.FIELDS, "steps", "usage"])
_WholeRun = _object("WholeRun", [*run_columns.FIELDS, "steps", "usage", "documents"])


def _run(record: run_chunks.RunRows) -> Any:
    _demand_texts(record.run)
    steps = [_Step(*_decoded(row, _STEP_JSON)) for row in record.steps]
    usage = [_Usage(*_decoded(row, _USAGE_JSON)) for row in record.usage]
    if record.documents is None:
        return _Run(*record.run, steps, usage)
    return _WholeRun(*record.run, steps, usage, list(map(_document, record.documents)))


_STEP_JSON = [run_chunks.STEP_COLUMNS.index(name) for name in ("tool_input", "tool_output")]
_USAGE_JSON = [run_chunks.USAGE_COLUMNS.index("metadata")]


def _decoded(row: Sequence[Any], places: Iterable[int]) -> Sequence[Any]:
    """Return a row with the values of its JSON texts."""
    _demand_texts(row)
    values = list(row)
    for place in places:
        if values[place] is not None:
            values[place] = column_types.decode_json(values[place])
    return values


def _demand_texts(row: Sequence[Any]) -> None:
    """Raise ValueError for a text that is not UTF-8, which is read as bytes."""
    if bytes in map(type, row):
        raise ValueError("a text is not UTF-8")


def _document(document: documents.Document) -> dict[str, object]:
    """Return a document with its exact bytes: as `text` where they are UTF-8, else as `base64`."""
    body = document.read()
    try:
        content = {"text": body.decode()}
    except UnicodeDecodeError:
        content = {"base64": base64.b64encode(body).decode("ascii")}
    return content | {
        "version": document.version,
        "sha256": document.body_sha256,
        "fetchedAt": formats.json_value(document.fetched_at),
        "parseError": document.parse_error,
    }
