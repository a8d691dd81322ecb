"""Runs that another store has told of, and that become ours as they ended there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exc

from storage import (
    deliveries,
    dialect,
    documents,
    errors,
    export,
    ledger,
    links,
    merkle,
    rollups,
    runs,
    search,
    states,
)
from storage.transitions import endings


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the runs of a file.

    `same` were here just so, `different` are here otherwise and stay as they are, `live` had not ended where they
    were told, so that they are another store's to settle, and `clashing` use an idempotency key that stands for
    another run here. `refused` hold what no store takes.
    """

    imported: int = 0
    same: int = 0
    different: int = 0
    live: int = 0
    clashing: int = 0
    refused: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether there were runs, and all of them were refused."""
        return self == Imported(refused=self.refused) and self.refused > 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def take(connection: Connection, records: Sequence[export.Record], actor: str, now: datetime) -> Imported:
    """Imports runs that have ended and are not here; none that is here is changed.

    Raises Unstorable, which names the run that the database cannot hold; then none of them is imported.
    """
    # At once, in the order in which everybody locks links; the runs keep that of the file.
    links.one_by_one(connection, sorted({each.run.upstream_id for each in records if each.run.upstream_id}))
    total = Imported()
    for record in records:
        try:
            total += _take(connection, record, actor, now)
        except (exc.SQLAlchemyError, ValueError, OverflowError) as error:
            raise _named(record, error) from error
    return total


def _named(record: export.Record, error: Exception) -> Exception:
    """What the database says of a value, with the run that has it; any other trouble is nobody's."""
    told = dialect.translate(error) if isinstance(error, exc.SQLAlchemyError) else errors.Unstorable(str(error))
    if not isinstance(told, errors.Unstorable):
        return error  # the writer knows what to do about it
    return errors.Unstorable(f"run {record.run.id}: cannot be stored here: {told}")


def _take(connection: Connection, record: export.Record, actor: str, now: datetime) -> Imported:
    run = record.run
    if not run.is_terminal or run.settled_at is None:
        return Imported(live=1)
    held = runs.find(connection, run.id)
    if held is None and run.upstream_id is not None:
        held = runs.find(connection, run.upstream_id)
    if held is not None:
        (here,) = export.read(connection, [held.seq], export.Parts(documents=record.documents is not None))
        return Imported(same=1) if export.is_same(here, record) else Imported(different=1)
    seq = runs.insert(connection, _row(run))
    if seq is None:
        return Imported(clashing=1)
    digests = [*_digests(record), *_store(connection, seq, record, now)]
    ledger.append(
        connection, [ledger.Entry(ledger.Kind.RUN_IMPORTED, now, run.id, actor, _facts(record), digests)]
    )
    return Imported(imported=1)


def _row(run: runs.Run) -> dict[str, Any]:
    """All that is told of a run; of what this store has to do about it, nothing."""
    names = [each.name for each in fields(run) if each.name not in export.OWN and each.name != "tags"]
    return {name: getattr(run, name) for name in names}


def _store(connection: Connection, seq: int, record: export.Record, now: datetime) -> list[merkle.Sealed]:
    """What belongs to the run, counted as any end is; the digests of its trace, whose salts stand on the rows."""
    run = record.run
    runs.tag(connection, seq, run.id, run.tags)
    steps = documents.store_steps(connection, seq, run.id, record.steps)
    usage = documents.store(connection, seq, run.id, record.usage, documents.Usage)
    for document in record.documents or ():
        documents.add(connection, run.id, document)
    if run.upstream_id is not None:
        links.insert(connection, links.Link(run.upstream_id, run.id, states.Role.RUN), now)
        deliveries.claim_unlinked(connection, run.upstream_id, run.id)
    if run.pruned_at is None:
        search.enqueue(connection, seq, now)
    rollups.count(connection, run.id)
    return [*documents.root("steps", steps), *documents.root("usage", usage)]


def _facts(record: export.Record) -> dict[str, Any]:
    run = record.run
    facts: dict[str, Any] = {name: endings.fact(getattr(run, column)) for name, column in endings.FACTS.items()}
    return facts | {
        "status": run.status.value,
        "origin": run.origin.value,
        "agentId": run.agent_id,
        "model": run.model,
        "submittedBy": run.submitted_by,
        "upstreamId": run.upstream_id,
        "acceptedAt": endings.fact(run.accepted_at),
        "settledAt": endings.fact(run.settled_at),
        "settledBy": None if run.settled_by is None else run.settled_by.value,
        "documentVersion": len(record.documents) if record.documents else None,
    }


def _digests(record: export.Record) -> Iterator[merkle.Sealed]:
    """Of all that is told of a run in words, under fresh salts, by the names that its other entries use."""
    run = record.run
    texts = {
        "prompt": run.prompt,
        "guidance": run.guidance,
        "instructions": run.instructions,
        "output": run.output,
        "summary": run.summary,
        "failureReason": run.failure_reason,
    }
    for name, text in texts.items():
        yield from merkle.seal(name, None if text is None else text.encode())
    yield from merkle.seal("objectIds", None if run.object_ids is None else merkle.canonical(list(run.object_ids)))
    yield from merkle.seal("tags", merkle.canonical(dict(run.tags)) if run.tags else None)
    for document in list(record.documents or ())[-1:]:
        yield from merkle.seal("document", document.read())
