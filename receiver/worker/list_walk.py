"""Detect a walk through the upstream's list that makes no progress, so that it ends."""

from __future__ import annotations

from datetime import datetime

from receiver import errors
from receiver.upstream import payloads, routes

#: Pages in a row without a readable run that end a walk. A single page may hold only unreadable entries.
MAX_EMPTY_PAGES = 20


class PageGuard:
    """The pages that a walk has seen, starting at `cursor`."""

    def __init__(self, cursor: str | None = None) -> None:
        self._cursors = {cursor}
        self._firsts: set[str] = set()
        self._empty = 0

    def next_cursor(self, page: payloads.Page) -> str:
        """Return the cursor of the page that follows this one. Raises InvalidPaging.

        A list that ignores its cursors returns the same page with a new cursor each time, so the first run of the
        page is checked too.
        """
        self._empty = 0 if page.runs else self._empty + 1
        if self._empty >= MAX_EMPTY_PAGES:
            raise _bad(
                f"the list goes on, but {MAX_EMPTY_PAGES} pages in a row have no run that can be read", page
            )
        if page.runs and page.runs[0].id in self._firsts:
            raise _bad("the list shows a page again that it has shown before", page)
        self._firsts.update(each.id for each in page.runs[:1])
        cursor = page.next_cursor
        if cursor is None:
            raise _bad("the list goes on, but its page has no usable cursor", page)
        if cursor in self._cursors:
            raise _bad(f"the list goes in a circle: its page leads back to {cursor}", page)
        self._cursors.add(cursor)
        return cursor


def _bad(problem: str, page: payloads.Page) -> errors.InvalidPaging:
    last = page.runs[-1].id if page.runs else None
    place = "an empty page" if last is None else f"the page that ends with {last}"
    return errors.InvalidPaging(routes.LIST, f"{problem} (at {place})")


def reaches(page: payloads.Page, moment: datetime) -> bool:
    """Return whether the page shows runs from before `moment`: two of them, or its only one.

    One date may be wrong.
    """
    dated = sorted(each.created_at for each in page.runs if each.created_at is not None)
    return bool(dated) and dated[min(1, len(dated) - 1)] < moment
