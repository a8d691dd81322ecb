"""A page of the upstream's list: its runs become ours, and the walk is a page further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from storage import backfills
from storage.transitions import adoption


@dataclass(frozen=True, slots=True)
class Turned:
    """A page: the runs on it that were asked for, and where the walk goes on; `finished_at` where it does not."""

    found: Sequence[adoption.Adopted]
    cursor: str | None
    finished_at: datetime | None


def turn(connection: Connection, walk: backfills.Walk, page: Turned) -> backfills.Walk:
    """Adopts what is new on the page and moves the walk, in one transaction. Known runs are passed over."""
    found = sorted(page.found, key=lambda each: each.upstream_id)
    new = sum(is_new for _, is_new in (adoption.adopt(connection, each) for each in found))
    moved = replace(
        walk,
        cursor=page.cursor,
        seen=walk.seen + len(page.found),
        taken=walk.taken + new,
        finished_at=page.finished_at,
    )
    return backfills.go_on(connection, moved)
