"""Import of runs that another store has exported and that have ended there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exc

from storage import errors, merkle, results, states
from storage.engine import error_translation
from storage.ledger import entries
from storage.query import run_chunks
from storage.repositories import deliveries, documents, runs, upstream_links
from storage.search import index
from storage.stats import rollups
from storage.tables import declare
from storage.tables.runs import RUNS
from storage.transitions import endings, submitting


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of the runs of a file.

    `same` runs exist here unchanged, `different` ones exist here with other content and stay as they are, `live`
    ones had not ended at the export, so that the other store settles them, and `clashing` ones use an idempotency
    key that belongs to another run here. `refused` ones have values that no store can hold.
    """

    imported: int = 0
    same: int = 0
    different: int = 0
    live: int = 0
    clashing: int = 0
    refused: int = 0

    @property
    def is_all_refused(self) -> bool:
        """Return whether there were runs, and all of them were refused."""
        return self == Imported(refused=self.refused) and self.refused > 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def import_runs(
    connection: Connection, records: Sequence[run_chunks.Record], actor: str, now: datetime
) -> Imported:
    """Import ended runs that do not exist here; existing runs are never changed.

    Raise UnstorableValue with the id of the run that the database cannot hold; then none of them is imported.
    """
    # All at once, in the order in which every transaction locks links; the runs keep the order of the file.
    upstream_links.lock_ids(connection, sorted({each.run.upstream_id for each in records if each.run.upstream_id}))
    total = Imported()
    for record in records:
        try:
            total += _import(connection, record, actor, now)
        except (exc.SQLAlchemyError, ValueError, OverflowError) as error:
            raise _with_run_id(record, error) from error
    return total


def _with_run_id(record: run_chunks.Record, error: Exception) -> Exception:
    """Return the database's error about a value together with the run's id; any other error unchanged."""
    translated: Exception = errors.UnstorableValue(str(error))
    if isinstance(error, exc.SQLAlchemyError):
        translated = error_translation.translate(error)
    if not isinstance(translated, errors.UnstorableValue):
        return error  # the writer handles it
    return errors.UnstorableValue(f"run {record.run.id}: cannot be stored here: {translated}")


def _import(connection: Connection, record: run_chunks.Record, actor: str, now: datetime) -> Imported:
    run = record.run
    if not run.is_terminal or run.settled_at is None:
        return Imported(live=1)
    existing = runs.find(connection, run.id)
    if existing is None and run.upstream_id is not None:
        existing = runs.find(connection, run.upstream_id)
    if existing is not None:
        parts = run_chunks.Parts(documents=record.documents is not None)
        (stored,) = run_chunks.read(connection, [existing.seq], parts)
        return Imported(same=1) if run_chunks.is_same(stored, record) else Imported(different=1)
    seq = runs.insert(connection, _row(run))
    if seq is None:
        return Imported(clashing=1)
    digests = [*_digests(record), *_store(connection, seq, record, now)]
    entry = entries.Entry(entries.Kind.RUN_IMPORTED, now, run.id, actor, _facts(record), digests)
    entries.append(connection, [entry])
    return Imported(imported=1)


def _row(run: runs.Run) -> dict[str, Any]:
    """Return the columns of an exported run, without those about this store's own work on it."""
    row = declare.row(RUNS, run)
    return {name: row[name] for name in row.keys() - run_chunks.LOCAL_COLUMNS}


def _store(connection: Connection, seq: int, record: run_chunks.Record, now: datetime) -> list[merkle.Digest]:
    """Store the rows of a run and count its end; return the digests of its trace, whose salts are in the rows."""
    run = record.run
    runs.tag(connection, [(seq, run.id, run.tags)])
    steps = documents.store_steps(connection, seq, run.id, record.steps, is_first=True)
    usage = documents.store(connection, seq, run.id, record.usage, results.Usage, is_first=True)
    for document in record.documents or ():
        documents.add(connection, run.id, document)
    if run.upstream_id is not None:
        upstream_links.insert(connection, upstream_links.Link(run.upstream_id, run.id, states.Role.RUN), now)
        deliveries.claim_unlinked(connection, run.upstream_id, run.id)
    if run.pruned_at is None:
        index.enqueue(connection, {seq: now})
    rollups.recount(connection, None, rollups.measures(run))
    return [*documents.root("steps", steps), *documents.root("usage", usage)]


def _facts(record: run_chunks.Record) -> dict[str, Any]:
    run = record.run
    facts = {name: endings.ledger_value(getattr(run, column)) for name, column in endings.FACTS.items()}
    return facts | {
        "status": run.status.value,
        "origin": run.origin.value,
        "agentId": run.agent_id,
        "submittedBy": run.submitted_by,
        "upstreamId": run.upstream_id,
        "acceptedAt": endings.ledger_value(run.accepted_at),
        "cancelRequestedAt": endings.ledger_value(run.cancel_requested_at),
        "againOf": run.again_of,
        "settledAt": endings.ledger_value(run.settled_at),
        "settledBy": None if run.settled_by is None else run.settled_by.value,
        "documentVersion": len(record.documents) if record.documents else None,
        "usageCount": len(record.usage) or None,
    }


def _digests(record: run_chunks.Record) -> Iterator[merkle.Digest]:
    """Return the digests of a run's texts under new salts, by the names that its other entries use."""
    run = record.run
    yield from submitting.content_digests(run)
    yield from merkle.salted_digest("output", run.output)
    yield from merkle.salted_digest("summary", run.summary)
    yield from merkle.salted_digest("failureReason", run.failure_reason)
    if record.documents:
        yield from merkle.salted_digest("document", record.documents[-1].read())
