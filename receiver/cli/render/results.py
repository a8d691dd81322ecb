"""The output of commands: JSON Lines for programs, tables and sentences for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from receiver.cli import agent_names, api_calls, target
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines
from receiver.cli.render.table import Listing
from receiver.schemas import query_parameters, responses

M = TypeVar("M", bound=BaseModel)


def sentence(found: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print an object for programs, a sentence for people."""
    if as_json:
        json_lines.mapping(found)
    else:
        print(text)


def one(found: M, render: Callable[[M], None], *, as_json: bool) -> None:
    """Print an object as the API gives it for programs, or have it rendered for people."""
    if as_json:
        json_lines.model(found)
    else:
        render(found)


def rows(found: Sequence[M], listing: Listing[M], *, as_json: bool) -> None:
    """Print an object a line for programs, a table for people."""
    if not as_json:
        listing.show(found)
        return
    for row in found:
        json_lines.model(row)


async def pages(
    handler: api_calls.Handler,
    shape: type[responses.Page],
    query: query_parameters.Query,
    noun: str,
    listing: Listing[Any],
    *,
    every_page: bool,
    as_json: bool,
) -> None:
    """Print one page or all: objects for programs as they come, a table for people at the end.

    `noun` is the field of a page that holds its rows.
    """
    kept: list[Any] = []
    page: Any = None
    async with target.opened() as store:
        async for page in api_calls.pages(store, handler, shape, query, every_page=every_page):
            if as_json:
                rows(getattr(page, noun), listing, as_json=True)
            else:
                kept += getattr(page, noun)
            if page.unreadable:
                ids = ", ".join(page.unreadable)
                print(f"Left out, since what is stored of them cannot be read: {ids}", file=sys.stderr)
        kept = list(await agent_names.in_rows(store, kept))
    if not as_json:
        listing.show(kept)
        if total := getattr(page, "total", None):
            print(f"{render_format.count(total.count)}{'' if total.exact else '+'} in all.")
        if unindexed := getattr(page, "unindexed", None):
            count = render_format.count(unindexed)
            print(f"{count} runs are not indexed yet: their words are not found.", file=sys.stderr)
    if page is not None and page.next_cursor and not every_page:
        print(f"There are more: --all, or --cursor {page.next_cursor}", file=sys.stderr)
