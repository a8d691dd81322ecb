"""The keys of the keyboard."""

from __future__ import annotations

from starlette.responses import Response

from receiver.pages import requests
from receiver.web.authentication import Scope

router = requests.Router()
KEYS = (
    (
        "On every page",
        (
            ("/", "To the box that filters"),
            ("g o", "Overview"),
            ("g r", "Runs"),
            ("g d", "Deliveries"),
            ("g j", "Jobs"),
            ("g s", "SQL"),
            ("g t", "Settings"),
            ("?", "This list"),
            ("Esc", "Close a menu"),
        ),
    ),
    (
        "In lists",
        (
            ("J, K", "The next row, the one before"),
            ("Enter", "Open the row"),
            ("X", "Select the row; with Shift a range"),
            ("N", "Show what is new"),
            ("-", "Exclude the value with the focus"),
        ),
    ),
    (
        "In the steps of a run",
        (
            ("↑ ↓", "The step before, the next step"),
            ("← →", "Fold, unfold"),
            ("1–9", "Show so many levels"),
            ("0", "The whole run"),
            ("E", "The next failed step"),
            ("F", "Failed steps only"),
            ("J, K", "The next run of the list, the one before"),
            ("Enter", "To the inspector; Esc returns"),
            ("[ ]", "The step before, the next step, from the inspector"),
        ),
    ),
)


@router.page("GET", "/keyboard", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """List the keys."""
    return given.page("keyboard.html", groups=KEYS)
