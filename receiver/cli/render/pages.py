"""Lists that come in pages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from receiver.cli import local_api, open_database
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines
from receiver.schemas import query_parameters


async def show(
    handler: local_api.Handler,
    query: query_parameters.Query,
    noun: str,
    render: Callable[[list[Any]], None],
    *,
    every_page: bool,
    as_json: bool,
) -> None:
    """Print one page or all: objects for programs as they come, a table for people at the end.

    `noun` is the field of a page that holds its rows.
    """
    rows, page = list[Any](), None
    async with open_database.existing() as store:
        async for page in local_api.pages(store, handler, query, every_page=every_page):
            for row in getattr(page, noun):
                if as_json:
                    json_lines.model(row)
                else:
                    rows.append(row)
            if page.unreadable:
                ids = ", ".join(page.unreadable)
                print(f"Left out, since what is stored of them cannot be read: {ids}", file=sys.stderr)
    if not as_json:
        render(rows)
        _show_totals(page)
    if page is not None and page.next_cursor and not every_page:
        print(f"There are more: --all, or --cursor {page.next_cursor}", file=sys.stderr)


def _show_totals(page: Any) -> None:
    """Print how many rows there are in all, and how many runs are not indexed, where the page has that."""
    if total := getattr(page, "total", None):
        print(f"{render_format.count(total.count)}{'' if total.exact else '+'} in all.")
    if unindexed := getattr(page, "unindexed", None):
        print(
            f"{render_format.count(unindexed)} runs are not indexed yet: their words are not found.",
            file=sys.stderr,
        )
