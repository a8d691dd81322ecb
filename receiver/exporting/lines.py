"""JSON Lines: a run a line, with its tags, steps, usage, and where asked for its documents. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pydantic.alias_generators import to_camel

from receiver.exporting import forms
from storage import documents, export

STEP = {to_camel(each.name): each.name for each in fields(documents.Step) if each.name != "salt"}
USAGE = {to_camel(each.name): each.name for each in fields(documents.Usage) if each.name != "salt"}


class Lines:
    """The form that can be read back."""

    media_type = "application/jsonl"

    def __init__(self, has_trailer: bool = True) -> None:
        self._has_trailer = has_trailer

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def rows(self, records: Sequence[export.Record]) -> bytes:
        """A line each."""
        return b"".join(map(line, records))

    def foot(self) -> bytes:
        """Nothing."""
        return b""

    def trailer(self, end: forms.End) -> bytes:
        """The last line."""
        return (forms.compact({"trailer": end.told()}) + "\n").encode() if self._has_trailer else b""


def line(record: export.Record) -> bytes:
    """A run as its line. The same content gives the same bytes, whichever database holds it."""
    told = {name: forms.plain(getattr(record.run, field)) for name, field in forms.FIELDS.items()}
    told["steps"] = [_row(each, STEP) for each in record.steps]
    told["usage"] = [_row(each, USAGE) for each in record.usage]
    if record.documents is not None:
        told["documents"] = [_document(each) for each in record.documents]
    return (forms.compact(told) + "\n").encode()


def _row(row: documents.Step | documents.Usage, names: dict[str, str]) -> dict[str, Any]:
    return {name: forms.plain(getattr(row, field)) for name, field in names.items()}


def _document(document: documents.Document) -> dict[str, Any]:
    """Its bytes exactly: as `text` where they are UTF-8, else as `base64`."""
    body = document.read()
    try:
        held = {"text": body.decode()}
    except UnicodeDecodeError:
        held = {"base64": base64.b64encode(body).decode("ascii")}
    return held | {
        "version": document.version,
        "sha256": document.body_sha256,
        "fetchedAt": forms.plain(document.fetched_at),
        "parseError": document.parse_error,
    }
