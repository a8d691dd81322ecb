"""One step of a run: as a panel beside the trace and as a page of its own; its values whole, and its pictures."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from receiver import errors
from receiver.pages import requests
from receiver.pages.drawing import contents, json_tree
from receiver.pages.run_parts import head, inspector, links
from receiver.web.authentication import Scope
from storage.engine.database import Snapshot
from storage.query import run_contents

router = requests.Router()
#: The most characters of one value that are saved as a file.
_WHOLE = 1 << 30


@router.page("GET", "/runs/{id}/steps/{n}", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """Show a step, or the part of one of its values at a JSON pointer."""
    shown = inspector.FIRST if given.parameter("shown") != "more" else inspector.NEXT
    value, pointer = given.parameter("value"), given.parameter("at")

    def load(store: Snapshot) -> dict[str, Any]:
        of = head.of_content(given, store)
        if value in run_contents.PARTS:
            inspected = inspector.load_place(store, of, _position(given), value, pointer)
        else:
            inspected = inspector.load(store, of, _position(given), shown)
        return {"head": of, "run": of.run, "inspected": inspected}

    values = await given.read(load)
    values |= {**links.functions(given, values["run"].id), "is_more": shown == inspector.NEXT or bool(value)}
    return await asyncio.to_thread(given.page, f"run/{'inspector' if given.is_partial else 'step'}.html", **values)


@router.page("GET", "/runs/{id}/steps/{n}/{part}", Scope.READ)
async def show_text(given: requests.PageRequest) -> Response:
    """Show a window of the text of a value, or send all of it as a file."""
    name, at = _part(given), requests.number(given.parameter("at", "0"), most=_WHOLE)
    is_saved = given.parameter("as") == "file"
    start, count = (0, _WHOLE) if is_saved else (at, inspector.NEXT)

    def load(store: Snapshot) -> tuple[head.Head, run_contents.Head, str]:
        of = head.of_content(given, store)
        heads = store.read(run_contents.heads, of.run.seq, [_position(given)])
        text = store.read(run_contents.piece, of.run.seq, _position(given), name, start, count)
        if text is None or _position(given) not in heads:
            raise errors.NotFound("this step has no such value")
        return of, heads[_position(given)], text

    of, stored, text = await given.read(load)
    if is_saved:
        return _file(text.encode("utf-8", "replace"), f"{of.run.id}-{stored.position}-{name}", name == "content")
    values = {
        "head": of,
        "run": of.run,
        "stored": stored,
        "name": name,
        "at": at,
        "text": contents.without_files(text),
        "next_at": at + len(text) if len(text) == count else None,
        **links.functions(given, of.run.id),
    }
    return given.page("run/text_piece.html" if given.is_partial else "run/text.html", **values)


def _file(body: bytes, name: str, is_text: bool) -> Response:
    media_type, ending = ("text/plain; charset=utf-8", "txt") if is_text else ("application/json", "json")
    headers = {"content-disposition": f'attachment; filename="run-{name}.{ending}"'}
    return Response(body, headers=headers, media_type=media_type)


@router.page("GET", "/runs/{id}/steps/{n}/{part}/file", Scope.READ)
async def send_file(given: requests.PageRequest) -> Response:
    """Send the file that a value contains in base64: a picture to be shown, anything else to be saved."""
    name = _part(given)

    def load(store: Snapshot) -> tuple[str, json_tree.Value]:
        of = head.of_content(given, store)
        place = (of.run.seq, _position(given), name, given.parameter("at"))
        return of.run.id, inspector.value(store, *place)

    run_id, value = await given.read(load)
    blob = contents.recognise(value) if isinstance(value, str) else None
    if blob is None or not isinstance(value, str):
        raise errors.NotFound("there is no file at this place of the value")
    try:
        body = await asyncio.to_thread(contents.decode, value)
    except ValueError:
        raise errors.NotFound("what is here begins as a file in base64, but does not go on so") from None
    is_shown = blob.is_picture and given.parameter("as") != "file"
    disposition = "inline" if is_shown else "attachment"
    ending = blob.media_type.partition("/")[2] if blob.media_type in contents.NAMED else "bin"
    headers = {
        "content-disposition": f'{disposition}; filename="run-{run_id}-{given.ids["n"]}.{ending}"',
        "cache-control": "private, max-age=3600",
    }
    return Response(body, headers=headers, media_type=blob.media_type if is_shown else "application/octet-stream")


def _position(given: requests.PageRequest) -> int:
    return requests.number(given.ids["n"], most=run_contents.MAX_POSITION)


def _part(given: requests.PageRequest) -> str:
    if given.ids["part"] not in run_contents.PARTS:
        raise errors.NotFound("a step has content, input and output")
    return given.ids["part"]
