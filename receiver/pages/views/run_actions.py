"""Acts on several runs: a page that asks with a count, and the act itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.responses import Response

from receiver import errors
from receiver.export import flow, formats
from receiver.pages import requests, streamed
from receiver.pages.run_list import bulk
from receiver.web.authentication import Scope
from storage.query import run_chunks

router = requests.Router()
FORMATS = (
    (formats.Format.CSV, "CSV", "one line a run, for a spreadsheet"),
    (formats.Format.JSONL, "JSON Lines", "with steps and usage, for programs and for another Runledger"),
    (formats.Format.PARQUET, "Parquet", "columns, for analysis"),
)


@router.page("GET", "/runs/actions", Scope.READ)
async def ask(given: requests.PageRequest) -> Response:
    """Ask whether an act is meant, with the number of runs."""
    name = given.parameter("action")
    chosen = bulk.selection(given, given.parameters)
    if chosen is None:
        return given.redirect(given.url("/runs"), "No run was selected.")
    if name == "compare":
        return _compare(given, chosen)
    act = _act(name)
    count = await chosen.count(given)
    return given.page("runs_actions.html", act=act, chosen=chosen, count=count, formats=FORMATS)


@router.page("POST", "/runs/actions", Scope.READ)
async def act_on(given: requests.PageRequest) -> Response:
    """Do what was asked for with the selected runs."""
    chosen = bulk.selection(given, given.form)
    if chosen is None:
        return given.redirect(given.url("/runs"), "No run was selected.")
    _act(given.field("action"))
    return await _export(given, chosen)


def _act(name: str) -> bulk.Act:
    if name not in bulk.BY_NAME:
        raise errors.NotFound("there is no such act on several runs")
    return bulk.BY_NAME[name]


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
    return streamed.file(given, _in_a_slot(export, context.export_slots), writer.media_type, name)


async def _in_a_slot(export: flow.Export, slots: flow.ExportSlots) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an export while it occupies one of the export slots."""
    with slots.slot():
        async for piece in export.pieces():
            yield piece
