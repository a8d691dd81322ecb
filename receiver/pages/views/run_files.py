"""Files of a run: its answer, and its document byte for byte."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.responses import Response

from receiver import errors
from receiver.pages import requests
from receiver.pages.run_parts import head
from receiver.schemas import json_rows
from receiver.web.authentication import Scope
from storage.engine.database import Snapshot
from storage.repositories import documents

router = requests.Router()


@router.page("GET", "/runs/{id}/answer.md", Scope.READ)
async def save_answer(given: requests.PageRequest) -> Response:
    """Send the answer as a file."""
    of = await given.read(partial(head.of_content, given))
    if not of.run.output:
        raise errors.NotFound("this run has no answer")
    headers = _attached(f"answer-{of.run.id}.md")
    return Response(of.run.output.encode("utf-8", "replace"), headers=headers, media_type="text/markdown")


@router.page("GET", "/runs/{id}/document", Scope.READ)
async def save_document(given: requests.PageRequest) -> Response:
    """Send a version of the document as a file, by default the last one."""
    version = requests.number(given.parameter("version")) if given.parameter("version") else None

    def load(store: Snapshot) -> tuple[str, documents.Document | None]:
        run_id = head.of_content(given, store).run.id
        return run_id, store.read(documents.find, run_id, version)

    run_id, document = await given.read(load)
    if document is None:
        raise errors.NotFound("this run has no document of this version")
    with json_rows.named(run_id, given.context.api.telemetry.log):
        # Decompressing a large document in the event loop would block it.
        body = await asyncio.to_thread(document.read)
    name = f"run-{run_id}-v{document.version}.json"
    return Response(body, headers=_attached(name), media_type="application/json")


def _attached(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
