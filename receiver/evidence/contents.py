"""The files of evidence about one run: its entries with their proofs, its record, its disclosed values."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic.alias_generators import to_snake

from receiver import errors
from receiver.verifier import public_forms
from receiver.verifier.evidence import facts, values
from receiver.verifier.evidence import runs as evidence_runs
from storage import merkle
from storage.actions import reviews
from storage.engine import column_types, database
from storage.ledger import checkpoints
from storage.query import run_evidence
from storage.repositories import deliveries, documents

Files = AsyncGenerator[tuple[str, bytes], None]
Facts = Mapping[str, Any]


class _Value(NamedTuple):
    """A value as it is stored, None where it is not there, and the salts under which it was recorded."""

    data: bytes | None
    salts: Sequence[str]


async def files(
    store: database.Database, run_id: str, newest: checkpoints.Checkpoint, only: Collection[str] | None
) -> Files:
    """Yield names and bytes of the files about a run; of values that are not in `only` there is no trace.

    Raises EvidenceNotMade where the run got an entry that the checkpoint lacks.
    """
    stored = await store.read(run_evidence.read, run_id, newest)
    if stored is None:
        raise errors.EvidenceNotMade(f"run {run_id} was changed while it was read: try again")
    if not stored.entries:
        raise errors.EvidenceNotMade(f"run {run_id} has no entry yet: its details were not fetched")
    found = [_decoded(entry) for entry in stored.entries]
    content: dict[str, Any] = {"run": run_id, "entries": [entry.number for entry in stored.entries]}
    content |= {"record": _record(stored, found), "deliveries": {}, "values": []}
    written, later = set[str](), facts.Later(found)
    for place, (entry, decoded) in enumerate(zip(stored.entries, found, strict=True)):
        leaf, proof = evidence_runs.log_paths(entry.number)
        yield leaf, entry.leaf
        yield proof, entry.proof.encode()
        reader = _Reader(store, stored, entry, decoded, await _delivery(store, decoded))
        if reader.delivery is not None:
            content["deliveries"][reader.delivery.id] = _received(reader.delivery, decoded)
        for name, digest in decoded["digests"].items():
            is_open = only is None or name in only
            value = await reader.value(name) if is_open else _Value(None, ())
            is_replaced = name not in values.SEVERAL and later.replaces(name, place)
            item = await asyncio.to_thread(_state, value, name, digest, is_open, is_replaced, entry)
            content["values"].append({"entry": entry.number, "name": name, **item})
            path = values.path(run_id, name, decoded["facts"])
            if item["state"] == values.DISCLOSED and path is not None and path not in written:
                written.add(path)
                yield path, value.data or b""
    yield evidence_runs.path(run_id), _json(content)


def _decoded(entry: run_evidence.Entry) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(entry.leaf)
        found["facts"], found["digests"]
    except (ValueError, KeyError, TypeError):
        raise errors.EvidenceNotMade(f"the ledger's entry {entry.number} cannot be read: it was changed") from None
    return found


def _record(stored: run_evidence.Stored, found: Sequence[Facts]) -> dict[str, Any]:
    """Return the columns of the run that its entries cover."""
    return {name: _plain(getattr(stored.run, to_snake(name))) for name in facts.record(found)}


def _state(
    value: _Value, name: str, digest: str, is_open: bool, is_replaced: bool, entry: run_evidence.Entry
) -> dict[str, Any]:
    """Return what becomes of a value, and its salts where it is disclosed."""
    if name not in values.ROWS and name not in entry.salts:
        return {"state": values.ERASED}
    if not is_open or name not in values.NAMES:
        return {"state": values.WITHHELD}
    if name in values.ROWS and not all(value.salts or [""]):
        return {"state": values.ERASED}
    if is_replaced and name not in values.SEVERAL and (value.data is None or not _is(value, name, digest)):
        return {"state": values.REPLACED}
    if value.data is None:
        return {"state": values.MISSING}
    return {"state": values.DISCLOSED, "salts": list(value.salts)}


def _is(value: _Value, name: str, digest: str) -> bool:
    """Return whether a value is the one that was recorded."""
    data = value.data or b""
    try:
        values.demand(name, digest, value.salts, data)
    except public_forms.Refused:
        return False
    return True


class _Reader(NamedTuple):
    """Reads the values that are stored now for the digests of an entry."""

    store: database.Database
    stored: run_evidence.Stored
    entry: run_evidence.Entry
    decoded: Facts
    delivery: deliveries.StoredDelivery | None

    async def value(self, name: str) -> _Value:
        """Return a value, with its salts."""
        if name in values.ROWS:
            rows = self.stored.steps if name == "steps" else self.stored.usage
            data = await asyncio.to_thread(_lines, rows)
            return _Value(data if rows else None, [row.salt.hex() for row in rows])
        salts = [self.entry.salts[name]] if name in self.entry.salts else []
        if name == "document":
            version = self.decoded["facts"].get("documentVersion")
            return _Value(await _document(self.store, self.stored.run.id, version), salts)
        if name == "comment":
            return _Value(await _comment(self.store, self.stored.run.id, self.decoded["facts"]["reviewId"]), salts)
        if name in values.OF_DELIVERY:
            return _Value(self._of_delivery(name), salts)
        return _Value(self._of_run(name), salts)

    def _of_run(self, name: str) -> bytes | None:
        run = self.stored.run
        if name == "tags":
            return merkle.canonical(dict(run.tags))
        if name == "objectIds":
            return None if run.object_ids is None else merkle.canonical(list(run.object_ids))
        text = getattr(run, to_snake(name)) if name in values.TEXTS else None
        return None if text is None else str(text).encode()

    def _of_delivery(self, name: str) -> bytes | None:
        if self.delivery is None or name == "body":
            return None if self.delivery is None else self.delivery.body
        return None if self.delivery.headers is None else merkle.canonical(dict(self.delivery.headers))


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(documents.row_bytes(row) + b"\n" for row in rows)


async def _document(store: database.Database, run_id: str, version: int | None) -> bytes | None:
    found = await store.read(documents.find, run_id, version)
    try:
        return None if found is None else await asyncio.to_thread(found.read)
    except ValueError:  # damaged: the value is missing
        return None


async def _comment(store: database.Database, run_id: str, review_id: str) -> bytes | None:
    found = {each.id: each.comment for each in await store.read(reviews.of_run, run_id)}
    comment = found.get(review_id)
    return None if comment is None else comment.encode()


async def _delivery(store: database.Database, decoded: Facts) -> deliveries.StoredDelivery | None:
    """Return the delivery that an entry is about."""
    if decoded["kind"] not in facts.DELIVERIES:
        return None
    return await store.read(deliveries.find, decoded["facts"]["deliveryId"])


def _received(delivery: deliveries.StoredDelivery, decoded: Facts) -> dict[str, Any]:
    """Return the facts of a delivery as its row has them; those that its entry leaves out are left out."""
    names = ("source", "eventId", "size", "secretUsed")
    found = {name: _plain(getattr(delivery, to_snake(name))) for name in names if name in decoded["facts"]}
    return {"receivedAt": _plain(delivery.received_at), "verdict": _plain(delivery.verdict), **found}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return column_types.instant_text(value)
    return value.value if isinstance(value, StrEnum) else value


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
