"""The tables and columns that users' SQL may read. Hidden columns of these tables read as NULL.

Columns are hidden if they give access, reveal what a digest covers (salts, and digests without a salt, from which
an erased prompt could be guessed), or hold input of unknown senders. Idempotency keys are not hidden: readers see
them with each run, and they give no access.
"""

from __future__ import annotations

from collections.abc import Mapping

from storage.tables import schema

#: The readable tables, each with its hidden columns.
HIDDEN: Mapping[str, frozenset[str]] = {
    "runs": frozenset({"request_sha256"}),
    "run_tags": frozenset(),
    "run_tools": frozenset(),
    "run_steps": frozenset({"salt"}),
    "run_usage": frozenset({"salt"}),
    "run_documents": frozenset({"body", "body_sha256"}),
    "run_events": frozenset(),
    "run_reviews": frozenset(),
    "upstream_links": frozenset(),
    "deliveries": frozenset({"headers", "body", "body_sha256", "dedupe_key"}),
    "rejections": frozenset(),
    "ledger_entries": frozenset({"salts"}),
    "ledger_nodes": frozenset(),
    "ledger_checkpoints": frozenset(),
    "ledger_cosignatures": frozenset(),
    "ledger_reports": frozenset(),
    "completeness_reports": frozenset(),
    "jobs": frozenset(),
    "system_state": frozenset({"moved_to", "sweep_cursor"}),
    "notifications": frozenset({"body"}),
    "webhook_endpoints": frozenset(),
    "workers": frozenset(),
    "backfills": frozenset({"cursor"}),
    "bulk_actions": frozenset(),
    "holds": frozenset(),
    "unknown_runs": frozenset(),
    "agents": frozenset(),
    "passages": frozenset(),
    "search_queue": frozenset(),
    "rollup_sums": frozenset(),
}
#: Tables that cannot be read at all, not even the number of their rows.
CLOSED = frozenset({"api_keys", "webhook_secrets", "sign_in_links", "saved_views"})

#: The PostgreSQL schema of the views, and the role that reads them.
SCHEMA = ROLE = "runledger_sql"


def columns() -> dict[str, dict[str, bool]]:
    """Return the columns of each readable table in order; the value is True for a visible column."""
    return {
        name: {column.name: column.name not in hidden for column in schema.metadata.tables[name].columns}
        for name, hidden in HIDDEN.items()
    }


def types() -> dict[str, dict[str, str]]:
    """Return the type of each visible column of each readable table, in a word."""
    return {
        name: {column: _type(name, column) for column, is_visible in found.items() if is_visible}
        for name, found in columns().items()
    }


def _type(table: str, column: str) -> str:
    name = type(schema.metadata.tables[table].columns[column].type).__name__
    return {"BigInteger": "integer", "Integer64": "integer", "InstantText": "instant"}.get(name, name.lower())
