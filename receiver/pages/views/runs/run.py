"""One run: its head, the panel of one tab, and its files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from starlette.responses import Response

from receiver import errors
from receiver.pages import requests
from receiver.pages.run_parts import head, inspector, links, panels, printed, trace
from receiver.schemas import json_rows
from receiver.web.authentication import Scope
from storage import errors as storage_errors
from storage.engine.database import Snapshot
from storage.query import grammar, run_neighbours
from storage.repositories import documents

router = requests.Router()
#: The tabs whose content is removed, each with the texts that an erasure of others leaves.
CONTENT: Mapping[str, Sequence[str]] = {
    "trace": (),
    "answer": ("output",),
    "prompt": ("prompt", "guidance", "instructions"),
    "document": (),
}
#: The tabs with their titles.
TITLES = {
    "trace": "Trace",
    **{name: title for name, (title, _) in panels.PANELS.items()},
    printed.TAB: "All parts",
}
#: The templates of parts of a trace. `found` are the steps while a text is typed, without an entry in the history.
_PARTS = {"rows": "rows", "steps": "steps", "found": "steps"}


@router.page("GET", "/runs/{id}", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """Show a run; further rows of its trace, and its steps as another filter has them, are partial answers."""
    values, part = await read(given), given.parameter("part")
    template = "page" if not given.is_partial else _PARTS.get(part, "main") if "trace" in values else "main"
    # Hundreds of rows take longer than the event loop should wait.
    response = await asyncio.to_thread(given.page, f"run/{template}.html", **values)
    if template == "steps":
        header = "hx-replace-url" if part == "found" else "hx-push-url"
        response.headers[header] = values["link"](**values["trace"].question.parameters())
    return response


async def read(given: requests.PageRequest, tab: str = "") -> dict[str, Any]:
    """Return the variables of the templates of a run, with the panel of a tab or of the one that is asked for."""
    tab = tab or given.parameter("tab", "trace")
    loaded = await given.read(partial(load, given, tab if tab in TITLES else "trace"))
    run_id = loaded["run"].id
    return {
        **loaded,
        "neighbours": None if given.parameter("part") in _PARTS else await _neighbours(given, loaded["run"].seq),
        **links.functions(given, run_id),
        "live_steps": (),
        "copies": links.copies(given, run_id),
        "is_more": False,
    }


def load(given: requests.PageRequest, tab: str, store: Snapshot) -> dict[str, Any]:
    """Return what the page shows of a run."""
    of = head.load(given, store)
    if given.parameter("part") not in _PARTS:
        of = head.with_holds(store, of)
    values = {
        "head": of,
        "run": of.run,
        "tab": tab,
        "tabs": TITLES,
        "is_removed": of.is_pruned and tab in CONTENT and not any(getattr(of.run, each) for each in CONTENT[tab]),
    }
    if values["is_removed"]:
        return values
    if tab == "trace":
        return values | _trace(given, of, store)
    if tab == printed.TAB:
        return values | printed.load(store, of)
    return values | panels.PANELS[tab][1](store, of, given.parameter)


def _trace(given: requests.PageRequest, of: head.Head, store: Snapshot) -> dict[str, Any]:
    found = trace.load(store, of, trace.question(given.parameter))
    is_panel = given.is_partial and given.parameter("part") in _PARTS
    inspected = None
    if found.selected is not None and found.selected.first is not None and not is_panel:
        inspected = inspector.inspect(store, of, found.selected.first, found.steps, found.turns)
    return {"trace": found, "inspected": inspected}


async def _neighbours(given: requests.PageRequest, seq: int) -> run_neighbours.Neighbours | None:
    """Return the neighbours in the list from which the page was opened; None where they cannot be read in time."""
    sort = given.parameter("sort", "-accepted")
    try:
        asked = grammar.parse(given.parameter("list"), given.now)
        return await given.read(lambda store: store.read(run_neighbours.find, seq, asked, sort))
    except (
        storage_errors.BadQuery,
        storage_errors.BadFilter,
        storage_errors.StatementTimeout,
        storage_errors.Busy,
    ):
        return None


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
