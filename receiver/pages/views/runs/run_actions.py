"""Actions on several runs: a page that asks for confirmation with their number, and the action itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from pydantic import ValidationError
from starlette.responses import Response

from receiver import errors
from receiver.export import flow, formats
from receiver.pages import requests, streamed, tag_text
from receiver.pages.run_list import bulk
from receiver.schemas import bodies
from receiver.web import authentication
from receiver.web.authentication import Scope
from storage import states
from storage.actions import bulk as bulk_actions
from storage.engine.database import Snapshot
from storage.query import run_chunks, run_lines

router = requests.Router()
FORMATS = (
    (formats.Format.CSV, "CSV", "one line a run, for a spreadsheet"),
    (formats.Format.JSONL, "JSON Lines", "with steps and usage, for programs and for another Runledger"),
    (formats.Format.PARQUET, "Parquet", "columns, for analysis"),
)


@router.page("GET", "/runs/actions", Scope.READ)
async def ask(given: requests.PageRequest) -> Response:
    """Ask for confirmation, with the number of runs."""
    name = given.parameter("action")
    chosen = bulk.selection(given, given.parameters)
    if chosen is None:
        return given.redirect(given.url("/runs"), "No run was selected.")
    if name == "compare":
        return _compare(given, chosen)
    act = _act(given, name)
    return await _ask(given, act, chosen)


async def _ask(
    given: requests.PageRequest, act: bulk.Act, chosen: bulk.Selection, tags: str = "", fault: str = ""
) -> Response:
    count = await chosen.count(given)
    values = {"act": act, "chosen": chosen, "count": count, "formats": FORMATS, "tags": tags, "fault": fault}
    return given.page("runs_actions.html", 422 if fault else 200, bulk_id=secrets.token_urlsafe(12), **values)


@router.page("POST", "/runs/actions", Scope.READ)
async def act_on(given: requests.PageRequest) -> Response:
    """Do what was asked for with the selected runs."""
    chosen = bulk.selection(given, given.form)
    if chosen is None:
        return given.redirect(given.url("/runs"), "No run was selected.")
    act = _act(given, given.field("action"))
    return await (_export(given, chosen) if act.name == "export" else _start(given, act, chosen))


def _act(given: requests.PageRequest, name: str) -> bulk.Act:
    """Return the act of this name. Raises NotFound, NotPermitted."""
    if name not in bulk.BY_NAME:
        raise errors.NotFound("there is no such act on several runs")
    authentication.require_scope(given.caller, bulk.BY_NAME[name].scope)
    return bulk.BY_NAME[name]


async def _start(given: requests.PageRequest, act: bulk.Act, chosen: bulk.Selection) -> Response:
    """Store the act for a job, and show how far it has come."""
    kind, tags = states.BulkKind(act.name), None
    if kind is states.BulkKind.TAG:
        try:
            tags = bodies.TagChanges.model_validate({"tags": tag_text.changes(given.field("tags"))}).tags
        except ValidationError:
            fault = "Write one a line, as client=tidewater; a name alone removes that tag."
            return await _ask(given, act, chosen, given.field("tags"), fault)
    planned = await given.read(lambda store: _planned(given, kind, tags, chosen, store))
    stored = await given.database.write(bulk_actions.create, planned)
    return given.redirect(given.url(f"/bulk/{stored.id}"))


def _planned(
    given: requests.PageRequest,
    kind: states.BulkKind,
    tags: Mapping[str, str | None] | None,
    chosen: bulk.Selection,
    store: Snapshot,
) -> bulk_actions.Action:
    seqs = [_seq(store, each) for each in chosen.ids] if chosen.ids else None
    text, caller = None if chosen.ids else chosen.text, given.caller
    key = given.field("bulk")[:100] or None  # a form that is sent twice is one action
    request = bulk_actions.Request(kind, caller.name, caller.actor, given.now, text, seqs, tags, key)
    return store.read(bulk_actions.plan, request)


def _compare(given: requests.PageRequest, chosen: bulk.Selection) -> Response:
    if len(chosen.ids) != 2:
        return given.redirect(given.url("/runs"), "Two runs are compared: select two.")
    return given.redirect(given.url("/compare", {"a": chosen.ids[0], "b": chosen.ids[1]}))


async def _export(given: requests.PageRequest, chosen: bulk.Selection) -> Response:
    """Return the file. What is wrong before its first byte is shown as a page."""
    text = given.field("format")
    requested = formats.Format(text) if text in list(formats.Format) else formats.Format.CSV
    writer = flow.new_writer(requested, has_bom=requested is formats.Format.CSV, has_trailer=False)
    parts = run_chunks.Parts(trace=requested is formats.Format.JSONL)
    context = given.context.api
    export = flow.Export(given.database.timed_read, chosen.expression, writer, parts, None, context.stopping)
    name = f"runs-{given.now:%Y%m%dT%H%M%SZ}.{requested}"
    return streamed.file(given, await flow.begin(export, context.export_slots), writer.media_type, name)


def _seq(store: Snapshot, run_id: str) -> int:
    """Return the key of a selected run. Raises NotFound."""
    line = store.read(run_lines.find, run_id, ("id",))
    if line is None:
        raise errors.NotFound(f"there is no run {run_id} any more: select again")
    seq: int = line.seq
    return seq
