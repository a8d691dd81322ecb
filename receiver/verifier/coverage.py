"""Which entry of the ledger stands for which column of the record, and which columns none stands for. Pure.

The verifier, its tests and docs/reference/ledger-coverage.md are made from these lists. A column of these tables
is in one of the two; a test fails for a new one that is in neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: The entries that end a run, and all that have its measures.
ENDS = ("run.completed", "run.failed", "run.cancelled", "run.refused")
MEASURED = (*ENDS, "run.document", "run.imported")
_BEGUN = ("run.accepted", "run.imported")
_DELIVERED = ("delivery.accepted", "delivery.duplicate")
_BY = {"by": "actor", "at": "at"}


@dataclass(frozen=True)
class Cover:
    """What stands for a column: a fact or a digest of entries of these kinds, or a field of the entry itself."""

    kinds: tuple[str, ...]
    fact: str | None = None
    digest: str | None = None
    field: str | None = None


def _facts(kinds: tuple[str, ...], **names: str) -> dict[str, Cover]:
    return {column: Cover(kinds, fact=fact) for column, fact in names.items()}


def _digests(kinds: tuple[str, ...], **names: str) -> dict[str, Cover]:
    return {column: Cover(kinds, digest=digest) for column, digest in names.items()}


def _rows(digest: str, *columns: str) -> dict[str, Cover]:
    return {column: Cover(MEASURED, digest=digest) for column in columns}


COVERED: Mapping[str, Mapping[str, Cover]] = {
    "runs": {
        "id": Cover(_BEGUN, field="run"),
        "upstream_id": Cover(("run.created", "run.imported"), fact="upstreamId"),
        "status": Cover(
            ("run.accepted", "run.created", "run.started", "run.lost", "run.reopened", *MEASURED), field="kind"
        ),
        **_facts(_BEGUN, origin="origin", submitted_by="submittedBy", again_of="againOf"),
        "agent_id": Cover((*_BEGUN, "run.created"), fact="agentId"),
        "model": Cover((*_BEGUN, *ENDS, "run.document"), fact="model"),
        "accepted_at": Cover(_BEGUN, fact="acceptedAt"),
        "cancel_requested_at": Cover(("run.cancel_requested",), field="at"),
        "pruned_at": Cover(("run.pruned", "content.erased"), field="at"),
        "review": Cover(("run.reviewed",), fact="verdict"),
        **_facts(
            MEASURED,
            created_at="createdAt",
            started_at="startedAt",
            completed_at="completedAt",
            settled_at="settledAt",
            settled_by="settledBy",
            duration_ms="durationMs",
            input_tokens="inputTokens",
            output_tokens="outputTokens",
            tool_calls="toolCalls",
            cost_micros="costMicros",
            step_count="stepCount",
            failure_source="failureSource",
        ),
        **_digests(
            _BEGUN, prompt="prompt", guidance="guidance", instructions="instructions", object_ids="objectIds"
        ),
        **_digests(MEASURED, output="output", summary="summary", failure_reason="failureReason"),
    },
    "run_tags": _digests((*_BEGUN, "run.tagged"), run_seq="tags", run_id="tags", key="tags", value="tags"),
    "run_steps": _rows(
        "steps",
        *("id", "run_id", "position", "upstream_id", "type", "content", "tool_name", "tool_input", "tool_output"),
        *("duration_ms", "timestamp", "salt"),
    ),
    "run_usage": _rows(
        "usage",
        *("id", "run_id", "position", "upstream_id", "kind", "service", "endpoint", "method", "status_code"),
        *("cost_micros", "prompt_tokens", "completion_tokens", "total_tokens", "model", "timestamp", "metadata"),
        "salt",
    ),
    "run_documents": {
        **_facts(MEASURED, run_id="documentVersion", version="documentVersion"),
        **_digests(MEASURED, body="document", body_sha256="document", size="document"),
    },
    "run_reviews": {
        **_facts(("run.reviewed",), id="reviewId", verdict="verdict", by="by"),
        "run_id": Cover(("run.reviewed",), field="run"),
        "at": Cover(("run.reviewed",), field="at"),
        **_digests(("run.reviewed",), comment="comment"),
    },
    "deliveries": {
        "id": Cover(_DELIVERED, fact="deliveryId"),
        "run_id": Cover(_DELIVERED, field="run"),
        "verdict": Cover(_DELIVERED, field="kind"),
        "received_at": Cover(_DELIVERED, field="at"),
        **_facts(_DELIVERED, source="source", event_id="eventId", size="size", secret_used="secretUsed"),
        **_digests(_DELIVERED, headers="headers", body="body", body_sha256="body"),
    },
    "upstream_links": {
        **_facts(("run.created", "run.orphan", "run.imported"), upstream_id="upstreamId"),
        "run_id": Cover(("run.created", "run.orphan", "run.imported"), field="run"),
        "role": Cover(("run.created", "run.orphan", "run.imported"), field="kind"),
    },
    "holds": {
        **_facts(("hold.placed", "hold.released"), id="holdId", scope="scope", reason="reason"),
        "target": Cover(("hold.placed", "hold.released"), digest="question"),
        **{f"placed_{name}": Cover(("hold.placed",), field=field) for name, field in _BY.items()},
        **{f"released_{name}": Cover(("hold.released",), field=field) for name, field in _BY.items()},
    },
    "completeness_reports": {
        "id": Cover(("completeness.checked",), fact="reportId"),
        "checked_at": Cover(("completeness.checked",), field="at"),
        "body": Cover(("completeness.checked",), digest="report"),
    },
    "ledger_entries": {
        **{name: Cover(("*",), field=name) for name in ("kind", "actor", "at")},
        "run_id": Cover(("*",), field="run"),
        "body": Cover(("*",), field="leaf"),
        "leaf_hash": Cover(("*",), field="leaf"),
        "leaf_index": Cover(("*",), field="position in the tree"),
        "salts": Cover(("*",), field="digests"),
    },
    "ledger_nodes": {name: Cover(("*",), field="tree") for name in ("row", "position", "hash")},
    "ledger_checkpoints": {name: Cover(("*",), field="signature") for name in ("size", "root", "note")},
    "ledger_cosignatures": {name: Cover(("*",), field="signature") for name in ("size", "witness", "line")},
}

_WORK = "state of this store's work on the run, which it may change at any time"
_ORDER = "order inside this store; says nothing about the run"
_OWN_TIME = "when this store did it; the entry has its own time"

EXEMPT: Mapping[str, Mapping[str, str]] = {
    "runs": {
        "seq": _ORDER,
        "idempotency_key": "name of the request for its sender; the content is covered",
        "request_sha256": "hash of the content, which is covered column by column",
        **dict.fromkeys(("refresh_requested_at", "expected_by", "asked_at", "missing_since"), _WORK),
        **dict.fromkeys(("lost_create_since", "watched", "captured_at", "capture_note", "restored_at"), _WORK),
    },
    "run_tags": {},
    "run_steps": {"is_failed": "follows from `type` and `tool_output`, which are covered"},
    "run_usage": {},
    "run_documents": {
        "seq": _ORDER,
        "fetched_at": _OWN_TIME,
        "parse_error": "note of this program about the document, which is covered",
    },
    "run_reviews": {"seq": _ORDER},
    "deliveries": {
        "seq": _ORDER,
        **dict.fromkeys(("upstream_id", "event_type"), "hint read from the body, which is covered"),
        "reason": "note of this program about the delivery",
        "duplicate_of": "follows from the order of the entries and `event_id`",
        **dict.fromkeys(("repeats", "last_repeat_at"), "count of requests that got no row and no entry"),
        "remote_addr": "address of the sender's connection: often that of a proxy, and personal data",
        "dedupe_key": "follows from `source`, `event_id` and `run_id`",
    },
    "upstream_links": {"linked_at": _OWN_TIME, "cancelled_at": _WORK},
    "holds": {},
    "completeness_reports": {},
    "ledger_entries": {"seq": _ORDER, "id": "name of the row inside this store"},
    "ledger_nodes": {},
    "ledger_checkpoints": {"signed_at": "asserted by this store; a witness states its own time"},
    "ledger_cosignatures": {"received_at": "the line itself has the time of the witness"},
}

#: Tables that are no part of a run's record.
OUTSIDE: Mapping[str, str] = {
    "jobs": "work that is still to be done",
    "notifications": "message to the backend, made from the run; `run.notify_requested` stands for a request",
    "run_events": "copy of the upstream's event stream, kept for display",
    "run_tools": "names of tools in `run_steps`, which is covered",
    "search_queue": "work of the index",
    "passages": "positions of words in texts, which are covered; the index is made again of them",
    "rollup_sums": "sums over runs, which are covered; they are made again of them",
    "agents": "names that the upstream gives its agents now, kept for display",
    "api_keys": "`key.created` and `key.revoked` stand for its changes by name; the row itself is not compared",
    "sign_in_links": "links for people to sign in, which expire",
    "saved_views": "queries that people keep; `view.saved` and `view.deleted` stand for their changes",
    "bulk_actions": "`bulk.requested` and the entries of each run stand for what was done",
    "backfills": "progress of this store's work",
    "unknown_runs": "what the upstream listed and this store does not have; a report of completeness is covered",
    "rejections": "`rejections.counted` stands for the counts of each hour",
    "webhook_endpoints": "the registration upstream; `webhook.registered` and `webhook.rotated` stand for it",
    "webhook_secrets": "secrets, encrypted; a delivery names by its fact `secretUsed` which one verified it",
    "ledger_reports": "verdicts of this store on itself, which others do not need",
    "system_state": "state of this store's work",
    "workers": "processes that are running now",
}
