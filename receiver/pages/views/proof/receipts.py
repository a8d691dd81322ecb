"""The receipt of a run as a file."""

from __future__ import annotations

from starlette.responses import Response

from receiver.api.proof import receipts
from receiver.pages import requests
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
