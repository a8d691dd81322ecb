"""The feed, as it is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

import structlog
from pydantic import Field

from receiver.shapes.answers import Answer, Instant
from storage import changes, columns, export


class Change(Answer):
    """A ledger entry. `digests` are SHA-256 over a salt, a name and a value that the ledger does not hold."""

    number: int
    id: str
    run: str | None
    kind: str
    actor: str
    at: str
    facts: Mapping[str, Any]
    digests: Mapping[str, str]

    @classmethod
    def of(cls, change: changes.Change) -> Self:
        """An entry that has its number."""
        try:
            told = json.loads(change.body)
            kept = {name: told[name] for name in ("run", "kind", "actor", "at", "facts", "digests")}
            return cls(number=change.number or 0, id=change.id, **kept)
        except (*export.UNREADABLE, LookupError):
            return cls._of_columns(change)

    @classmethod
    def _of_columns(cls, change: changes.Change) -> Self:
        """What stands beside a body that cannot be read: the feed has no gap, and tells no facts."""
        structlog.get_logger("runledger").warning("entry_unreadable", number=change.number)
        return cls(
            number=change.number or 0,
            id=change.id,
            run=change.run_id,
            kind=change.kind,
            actor=change.actor,
            at=columns.text(change.at),
            facts={},
            digests={},
        )


class Changes(Answer):
    """A page of the feed. `nextAfter` is what to ask for next, also where there is no more yet."""

    changes: list[Change]
    has_more: bool
    next_after: int
    restored_at: Instant | None = Field(
        None,
        description="When the store was last restored from an older copy of itself: what was read before that may "
        "have other numbers now.",
    )
