"""The receipt of a run, and the evidence about it, as files."""

from __future__ import annotations

from starlette.responses import Response

from receiver import errors
from receiver.api.proof import evidence, receipts
from receiver.pages import requests, streamed
from receiver.verifier.evidence import values
from receiver.web import run_ids
from receiver.web.authentication import Scope
from storage.engine.database import Snapshot
from storage.query import run_lines

router = requests.Router()
#: The most entries of one file, which names the next one where there are more.
ENTRIES = 2_000


@router.page("GET", "/runs/{id}/receipt.json", Scope.READ)
async def save(given: requests.PageRequest) -> Response:
    """Send the entries of a run with their proofs as a file, as the API answers them."""

    def load(store: Snapshot) -> tuple[str, bytes]:
        run = run_ids.require_run(store.read(run_lines.find, given.ids["id"], ("id", "upstream_id")))
        made = receipts.make(store, run.id, given.context.api.ledger.policy, ENTRIES)
        return run.id, made.model_dump_json(by_alias=True).encode()

    run_id, body = await given.read(load)
    headers = {"content-disposition": f'attachment; filename="receipt-{run_id}.json"'}
    return Response(body, headers=headers, media_type="application/json")


@router.page("GET", "/runs/{id}/evidence.zip", Scope.READ)
async def save_evidence(given: requests.PageRequest) -> Response:
    """Make evidence about a run and send it. With `chosen`, the values named by `only` are disclosed, or none."""
    named = given.ids["id"]
    found = await given.database.read(run_lines.find, named, ("id", "upstream_id"))
    run_id = run_ids.require_exact_run(found, named).id
    only = [value for name, value in given.parameters if name == "only"]
    if not set(only) <= set(values.NAMES):
        raise errors.BadParameter("only", f"is one of {', '.join(values.NAMES)}")
    pieces = await evidence.start(given.context.api, run_id, only if only or given.parameter("chosen") else None)
    return streamed.file(given, pieces, evidence.TYPE, evidence.name(run_id))
