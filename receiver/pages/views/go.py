"""Go to a page, a run or a saved view by its name: a dialog over each page, and a page of its own."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from receiver.pages import requests
from receiver.web.authentication import Scope
from storage.actions import saved_views
from storage.engine.database import Snapshot
from storage.query import query_text, run_lines

router = requests.Router()
#: The most characters of a text that is looked up as the id of a run.
LONGEST = 128
#: Pages that are not in the top bar: name, path, and the scope that they need.
_OTHERS = (
    ("Submit a run", "/submit", Scope.SUBMIT),
    ("Keys", "/keys", Scope.ADMIN),
    ("Compare two runs", "/compare", Scope.READ),
    ("Bulk actions", "/bulk", Scope.READ),
    ("Saved views", "/views", Scope.READ),
    ("Keyboard", "/keyboard", Scope.READ),
)
Place = tuple[str, str]


@router.page("GET", "/go", Scope.READ)
async def go(given: requests.PageRequest) -> Response:
    """Go to what is named; where nothing or much is, list the places."""
    text = given.parameter("to").strip()
    views, run_id = await given.read(lambda store: _read(given, text, store), quick=True)
    places = [*_pages(given), *_views(given, views)]
    if given.is_partial:
        return given.partial("go.html", "dialog", places=places)
    if run_id is not None:
        return given.redirect(given.url(f"/runs/{run_id}"))
    found = _matching(places, text)
    if text and len(found) == 1:
        return given.redirect(found[0][1])
    words = given.url("/runs", {"q": query_text.quoted(text)}) if text else ""
    return given.page("go.html", text=text, places=found or places, is_found=bool(found), words=words)


def _read(
    given: requests.PageRequest, text: str, store: Snapshot
) -> tuple[Sequence[saved_views.View], str | None]:
    """Return the views that the visitor sees, and the run that a text names."""
    run = store.read(run_lines.find, text, ("id",)) if 0 < len(text) <= LONGEST else None
    return store.read(saved_views.visible_to, given.caller.name), None if run is None else run.id


def _pages(given: requests.PageRequest) -> list[Place]:
    listed = [(name, given.url(path)) for path, name, _ in given.navigation()]
    return [*listed, *((name, given.url(path)) for name, path, scope in _OTHERS if given.may(scope))]


def _views(given: requests.PageRequest, views: Sequence[saved_views.View]) -> list[Place]:
    def address(view: saved_views.View) -> str:
        columns = f"&columns={','.join(view.columns)}" if view.columns else ""
        return f"{given.url('/runs')}?{view.question}{columns}"

    return [(view.name, address(view)) for view in views]


def _matching(places: Sequence[Place], text: str) -> Sequence[Place]:
    """Return the place of this name, or all whose names contain it."""
    wanted = text.casefold()
    same = [place for place in places if place[0].casefold() == wanted]
    return same[:1] or [place for place in places if wanted in place[0].casefold()]
