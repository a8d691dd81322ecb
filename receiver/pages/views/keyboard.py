"""The keys of the keyboard."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from receiver.pages import requests
from receiver.web.authentication import Scope

router = requests.Router()
#: A title, and keys with what they do.
Group = tuple[str, Sequence[tuple[str, str]]]
_LISTS: Group = (
    "In lists",
    (
        ("J, K", "The next row, the one before"),
        ("Enter", "Open the row"),
        ("Esc", "Close what is open beside the list"),
    ),
)
_RUNS: Group = (
    "In the list of runs",
    (
        ("X", "Select the row; with Shift a range"),
        ("A", "To what can be done with the selected runs"),
        ("[ ]", "The first page, the next page"),
        ("N", "Show what is new"),
        ("Enter", "On a value: only the runs that have it"),
        ("-", "On a value: the runs that do not have it"),
    ),
)
_STEPS: Group = (
    "In the steps of a run",
    (
        ("↑ ↓", "The step before, the next step"),
        ("← →", "Fold, unfold"),
        ("1–9", "Show so many levels"),
        ("0", "The whole run"),
        ("E", "The next failed step; with Shift the one before"),
        ("F", "Failed steps only"),
        ("J, K", "The next run of the list, the one before"),
        ("Enter", "To the inspector; Esc returns"),
        ("[ ]", "The step before, the next step, from the inspector"),
        ("← →", "On the line beside the inspector: its width; Esc, as it was"),
    ),
)
_SQL: Group = ("In SQL", (("Ctrl Enter", "Run the statement"),))


@router.page("GET", "/keyboard", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """List the keys that this visitor can use: a fragment over the page that is shown, or a page of its own."""
    groups = _groups(given)
    if given.is_partial:
        return given.partial("keyboard.html", "dialog", groups=groups)
    return given.page("keyboard.html", groups=groups)


def _groups(given: requests.PageRequest) -> list[Group]:
    pages = given.navigation()
    everywhere = (
        ("/", "To the box that filters"),
        *((f"g {key}", name) for _, name, key in pages),
        ("Ctrl K", "Go to a page, a run or a saved view by its name"),
        ("?", "This list"),
        ("Esc", "Close a menu or this list"),
    )
    has_sql = any(path == "/sql" for path, *_ in pages)
    return [("On every page", everywhere), _LISTS, _RUNS, _STEPS, *([_SQL] if has_sql else [])]
