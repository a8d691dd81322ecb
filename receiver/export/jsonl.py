"""JSON Lines: a line for each run, with its tags, steps and usage, and on request its documents. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import fields

from pydantic.alias_generators import to_camel

from receiver.export import formats, run_columns
from storage import results
from storage.query import run_chunks
from storage.repositories import documents

STEP_FIELDS = {to_camel(each.name): each.name for each in fields(results.Step) if each.name != "salt"}
USAGE_FIELDS = {to_camel(each.name): each.name for each in fields(results.Usage) if each.name != "salt"}


class JsonLinesWriter(formats.Writer):
    """The writer of JSON Lines, the format that can be imported again."""

    media_type = "application/jsonl"

    def __init__(self, has_trailer: bool = True) -> None:
        self._has_trailer = has_trailer

    def rows(self, records: Sequence[run_chunks.Record]) -> bytes:
        """Return a line for each record."""
        return b"".join(map(encode_run, records))

    def trailer(self, end: formats.Summary) -> bytes:
        """Return the last line."""
        return (formats.compact({"trailer": end.as_json()}) + "\n").encode() if self._has_trailer else b""


def encode_run(record: run_chunks.Record) -> bytes:
    """Return a run as its line. Equal content gives equal bytes, whichever database stores it."""
    values = {name: formats.json_value(getattr(record.run, field)) for name, field in run_columns.FIELDS.items()}
    values["steps"] = [_row(each, STEP_FIELDS) for each in record.steps]
    values["usage"] = [_row(each, USAGE_FIELDS) for each in record.usage]
    if record.documents is not None:
        values["documents"] = [_document(each) for each in record.documents]
    return (formats.compact(values) + "\n").encode()


def _row(row: results.Step | results.Usage, names: dict[str, str]) -> dict[str, object]:
    return {name: formats.json_value(getattr(row, field)) for name, field in names.items()}


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
