"""Receipts: the entries of a run, each with the proof that it stands in the ledger."""

from __future__ import annotations

from receiver.schemas import proof, query_parameters
from receiver.web import operations, run_ids
from receiver.web.authentication import Scope
from storage import cursors
from storage.engine import database
from storage.engine.database import Reader
from storage.ledger import proofs
from storage.query import run_lines

Receiving = operations.Call[query_parameters.ReceiptQuery, None]
#: What to do about entries without a proof.
PENDING = "Entries without a proof come under the next checkpoint: ask again in a second, while a server runs."

router = operations.Router("ledger")


@router.operation(
    "GET",
    "/v1/runs/{id}/receipt",
    "The proofs of a run's entries",
    {200: proof.RunReceipt},
    Scope.READ,
    reader=Reader.PLAIN,
)
def get_receipt(call: Receiving, store: database.Snapshot) -> operations.Answer:
    """Answer with the entries of a run and their proofs, which others check without this server."""
    run = run_ids.require_run(store.read(run_lines.find, call.ids["id"], _IDS))
    query, ledger = call.query, call.context.ledger
    after = -1 if query.cursor is None else cursors.parse(query.cursor, _ORDER).seq
    found = store.read(proofs.of_run, run.id, after, query.limit + 1)
    page = found[: query.limit]
    cursor = str(cursors.Cursor(_ORDER, None, page[-1].seq)) if len(found) > len(page) else None
    entries = [proof.ReceiptEntry(number=each.number, leaf=each.leaf.decode(), proof=each.proof) for each in page]
    pending = sum(each.proof is None for each in page)
    receipt = proof.RunReceipt(
        has_more=cursor is not None,
        next_cursor=cursor,
        run=run.id,
        keys=ledger.keys,
        policy=ledger.policy.text,
        pending=pending,
        note=PENDING if pending else None,
        entries=entries,
    )
    return operations.Answer(200, receipt, call.link("cursor", cursor))


_IDS, _ORDER = ("id", "upstream_id"), "entry"
