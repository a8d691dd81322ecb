"""The columns of the formats with a row for each run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from pydantic.alias_generators import to_camel

from receiver.export import formats
from storage.query import run_chunks
from storage.repositories import runs

#: The exported fields of a run, by their names in the file.
FIELDS = {to_camel(each.name): each.name for each in fields(runs.Run) if each.name not in run_chunks.LOCAL_COLUMNS}
INSTANTS = frozenset(to_camel(each.name) for each in fields(runs.Run) if str(each.type).startswith("datetime"))
NUMBERS = frozenset(to_camel(each.name) for each in fields(runs.Run) if str(each.type).startswith("int"))


def cells(run: runs.Run) -> Iterator[object]:
    """Yield the cells of a run, in the order of FIELDS: texts, numbers, instants; structures as JSON.

    Raises ValueError for a value that is not UTF-8 in the store.
    """
    for name in FIELDS.values():
        value = getattr(run, name)
        if isinstance(value, bytes):
            raise ValueError(f"{name} is not UTF-8")
        yield formats.compact(value) if isinstance(value, Mapping | list | tuple) else value
