"""Receipts: the entries of a run, each with the proof that it is in the ledger."""

from __future__ import annotations

from receiver.crypto import log_policy
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
    query = call.query
    after = -1 if query.cursor is None else cursors.parse(query.cursor, _ORDER).seq
    receipt = make(store, run.id, call.context.ledger.policy, query.limit, after)
    return operations.Answer(200, receipt, call.link("cursor", receipt.next_cursor))


def make(
    store: database.Snapshot, run_id: str, policy: log_policy.Policy, limit: int, after: int = -1
) -> proof.RunReceipt:
    """Return the receipt of up to `limit` entries of a run behind the row `after`."""
    found = store.read(proofs.of_run, run_id, after, limit + 1)
    page = found[:limit]
    cursor = str(cursors.Cursor(_ORDER, None, page[-1].seq)) if len(found) > len(page) else None
    entries = [proof.ReceiptEntry(number=each.number, leaf=each.leaf.decode(), proof=each.proof) for each in page]
    pending = sum(each.proof is None for each in page)
    return proof.RunReceipt(
        has_more=cursor is not None,
        next_cursor=cursor,
        run=run_id,
        keys=[each.text for each in policy.keys],
        policy=policy.text,
        pending=pending,
        note=PENDING if pending else None,
        entries=entries,
    )


_IDS, _ORDER = ("id", "upstream_id"), "entry"
