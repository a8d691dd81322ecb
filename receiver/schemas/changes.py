"""The answers of the change feed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from pydantic import Field

from receiver.schemas import json_rows
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


class Values(NamedTuple):
    """The values of an entry's object, in the order of its fields."""

    number: int
    id: str
    run: str | None
    kind: str
    actor: str
    at: str
    facts: Mapping[str, Any]
    digests: Mapping[str, str]


def values(change: ledger_changes.Change) -> Values:
    """Return the values of an entry. One whose body cannot be read has no facts: the feed must not have a gap."""
    number = change.number or 0
    try:
        body = json_rows.decode(change.body)
        found = Values(number, change.id, *(body[name] for name in Values._fields[2:]))
        CHANGES.one(found)
    except (*run_chunks.UNREADABLE_ERRORS, LookupError):
        structlog.get_logger("runledger").warning("ledger_entry_skipped", number=change.number)
        at = column_types.instant_text(change.at)
        return Values(number, change.id, change.run_id, change.kind, change.actor, at, {}, {})
    return found


CHANGES = json_rows.JsonRows(Change)
