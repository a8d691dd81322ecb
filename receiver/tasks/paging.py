"""Where a walk through the upstream's list has been, so that one which leads nowhere ends."""

from __future__ import annotations

from datetime import datetime

from receiver import errors
from receiver.upstream import payloads, routes

#: Pages in a row on which no run can be read, after which a walk is given up. One of them may be full of nonsense.
EMPTY = 20


class Trail:
    """The pages that a walk has seen, from `cursor` on."""

    def __init__(self, cursor: str | None = None) -> None:
        self._cursors = {cursor}
        self._firsts: set[str] = set()
        self._empty = 0

    def onward(self, page: payloads.Page) -> str:
        """The cursor of the page behind this one, where there is to be one. Raises BadPaging.

        A list that ignores its cursors shows the same page under ever new ones: so its first run is looked at too.
        """
        self._look(page)
        cursor = page.next_cursor
        if cursor is None:
            raise _bad("the list goes on, but its page has no usable cursor", page)
        if cursor in self._cursors:
            raise _bad(f"the list goes in a circle: its page leads back to {cursor}", page)
        self._cursors.add(cursor)
        return cursor

    def _look(self, page: payloads.Page) -> None:
        self._empty = 0 if page.runs else self._empty + 1
        if self._empty >= EMPTY:
            raise _bad(f"the list goes on, but {EMPTY} pages in a row have no run that can be read", page)
        if page.runs and page.runs[0].id in self._firsts:
            raise _bad("the list shows a page again that it has shown before", page)
        self._firsts.update(each.id for each in page.runs[:1])


def _bad(why: str, page: payloads.Page) -> errors.BadPaging:
    last = page.runs[-1].id if page.runs else None
    where = "an empty page" if last is None else f"the page that ends with {last}"
    return errors.BadPaging(routes.LIST, f"{why} (at {where})")


def reaches(page: payloads.Page, moment: datetime) -> bool:
    """Whether the page shows runs from before `moment`: two of them, or its only one. One date may be wrong."""
    dated = sorted(each.created_at for each in page.runs if each.created_at is not None)
    return bool(dated) and dated[min(1, len(dated) - 1)] < moment
