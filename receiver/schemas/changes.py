"""The answers of the change feed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

import structlog
from pydantic import Field

from receiver.schemas.responses import Answer, Instant
from storage.engine import column_types
from storage.query import run_chunks
from storage.repositories import ledger_changes


class Change(Answer):
    """A ledger entry. `digests` are SHA-256 over a salt, a name and a value, none of which the ledger contains."""

    number: int
    id: str
    run: str | None
    kind: str
    actor: str
    at: str
    facts: Mapping[str, Any]
    digests: Mapping[str, str]

    @classmethod
    def of(cls, change: ledger_changes.Change) -> Self:
        """Return an entry that has its number."""
        try:
            body = json.loads(change.body)
            fields = {name: body[name] for name in ("run", "kind", "actor", "at", "facts", "digests")}
            return cls(number=change.number or 0, id=change.id, **fields)
        except (*run_chunks.UNREADABLE_ERRORS, LookupError):
            return cls._of_columns(change)

    @classmethod
    def _of_columns(cls, change: ledger_changes.Change) -> Self:
        """Return an entry whose body cannot be read, without facts: the feed must not have a gap."""
        structlog.get_logger("runledger").warning("ledger_entry_skipped", number=change.number)
        return cls(
            number=change.number or 0,
            id=change.id,
            run=change.run_id,
            kind=change.kind,
            actor=change.actor,
            at=column_types.instant_text(change.at),
            facts={},
            digests={},
        )


class Changes(Answer):
    """A page of the feed. `nextAfter` is the value of `after` for the next page, also at the end of the feed."""

    changes: list[Change]
    has_more: bool
    next_after: int
    restored_at: Instant | None = Field(
        None,
        description="When the database was last restored from an older copy: since then entries may have other "
        "numbers than before.",
    )
