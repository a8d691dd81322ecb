"""The runs that the demo submits, and the faults that the sandbox adds."""

from __future__ import annotations

AGENT = {
    "name": "Legal research",
    "instructions": "You are a legal research assistant. Search vaults, find case law, compile a memo, upload it.",
    "model": "anthropic/claude-sonnet-4.6",
}


def _task(prompt: str, matter: str, kind: str, **fields: object) -> dict[str, object]:
    """Return a body of `POST /v1/runs`, but for the agent."""
    return {"prompt": prompt, "tags": {"matter": matter, "kind": kind}, **fields}


#: Parts of prompts by which faults choose runs: without callback and event, with a late callback, failing.
SILENT, LATE, FAILING = "chronology", "depositions", ("privilege log", "scanned exhibits")

#: The backend cancels the last one.
TASKS = (
    _task(
        "Search vault vault_xyz for all references to force majeure clauses and compile a summary.",
        "2026-0117",
        "search",
    ),
    _task(
        "Analyze the master services agreement in vault vault_abc",
        "2026-0142",
        "review",
        guidance="Focus on indemnification and limitation of liability. The client is in healthcare, "
        "so flag any HIPAA-related concerns.",
    ),
    _task(
        "Quick summary of document vault_abc/obj_xyz",
        "2026-0142",
        "summary",
        model="anthropic/claude-haiku-3.5",
    ),
    _task(
        f"Summarize the {LATE} and list every contradiction between them.",
        "2026-0117",
        "summary",
        objectIds=["obj_deposition_1", "obj_deposition_2", "obj_deposition_3"],
    ),
    _task(
        "Research employment discrimination laws relevant to the documents in vault vault_abc. Upload a report.",
        "2026-0155",
        "research",
    ),
    _task("Find case law on anticipatory repudiation in the Second Circuit since 2015.", "2026-0117", "research"),
    _task(
        "Verify every citation in the draft brief vault_xyz/obj_brief.",
        "2026-0155",
        "review",
        model="anthropic/claude-haiku-3.5",
    ),
    _task(f"Build a {SILENT} of the shipment delay from the emails in vault vault_xyz.", "2026-0117", "research"),
    _task(f"Check the {FAILING[0]} for entries without a basis.", "2026-0155", "review"),
    _task(f"Index the {FAILING[1]} in vault vault_abc by witness.", "2026-0142", "search"),
    _task(
        "List the notice periods and cure rights of the lease for Suite 410.",
        "2026-0161",
        "summary",
        model="anthropic/claude-haiku-3.5",
    ),
    _task("Draft a litigation hold notice for every custodian in vault vault_abc.", "2026-0117", "draft"),
)

#: The faults: callbacks come twice, one run has neither callback nor event, another one a late callback.
FAULTS: dict[str, object] = {
    "callback_duplicates": 1,
    "fail_prompts": FAILING,
    "script": [
        {"route": "callback", "prompt": SILENT, "action": "drop"},
        {"route": "event", "prompt": SILENT, "action": "drop"},
        {"route": "callback", "prompt": LATE, "action": "delay:0.5"},
    ],
}
