"""An export on its way: bounded chunks, and less at once where the database is slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from receiver import exporting
from storage import errors, export, filters, search
from storage.database import Database
from tests import life
from tests.receiver.exporting import files

pytestmark = pytest.mark.anyio


class Asked:
    """Stands in front of a database: notes what came of each question, takes no window wider than `widest`, and
    none at all the first `busy` times.
    """

    def __init__(self, database: Database, widest: int = 1 << 60, busy: int = 0) -> None:
        self.database, self.widest, self.busy = database, widest, busy
        self.weights: list[int] = []

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if function is export.chunk and self.busy:
            self.busy -= 1
            raise errors.Busy("too many questions")
        for window in arguments:
            if isinstance(window, search.Window) and window.high - window.low > self.widest:
                raise errors.TooSlow("it was not answered")
        found = await self.database.ask(function, *arguments)
        if isinstance(found, export.Chunk):
            self.weights.append(sum(each.weight for each in found.records))
        return found


def through(asked: Asked) -> exporting.Export:
    form = exporting.form(exporting.Format.JSONL)
    return exporting.Export(asked.ask, filters.EVERYTHING, form, export.Parts(documents=True))


async def many(database: Database, count: int, prompt: str = "") -> None:
    for at in range(count):
        await life.accepted(database, prompt=f"{at} {prompt}")


async def test_a_chunk_holds_little_more_than_its_bound_however_much_there_is(database: Database) -> None:
    await many(database, 60, "x" * 100_000)
    asked = Asked(database)
    sizes = [len(piece) async for piece in through(asked).pieces()]
    assert sum(sizes) > 60 * 100_000
    assert max(asked.weights) < export.BYTES_AT_ONCE + export.GROUP * 110_000
    assert max(sizes) < export.BYTES_AT_ONCE + export.GROUP * 110_000


async def test_nothing_is_read_before_it_is_asked_for(database: Database) -> None:
    await many(database, 40, "x" * 100_000)
    asked = Asked(database)
    pieces = through(asked).pieces()
    await anext(pieces)
    assert len(asked.weights) == 0
    await anext(pieces)
    assert len(asked.weights) == 1
    await pieces.aclose()


async def test_what_is_too_slow_is_asked_for_in_smaller_parts(database: Database) -> None:
    await files.populated(database)
    told = b"".join([piece async for piece in through(Asked(database, widest=16)).pieces()])
    assert told == await files.bytes_of(database)


async def test_an_export_waits_where_too_many_ask(database: Database) -> None:
    await files.populated(database)
    asked = Asked(database, busy=2)
    told = b"".join([piece async for piece in through(asked).pieces()])
    assert told == await files.bytes_of(database)
    assert asked.busy == 0


async def test_what_stays_too_slow_is_an_error_and_has_no_trailer(database: Database) -> None:
    await many(database, 30)
    pieces = through(Asked(database, widest=1)).pieces()
    assert await anext(pieces) == b""
    with pytest.raises(errors.TooSlow):
        await anext(pieces)


async def test_how_far_it_is_grows_to_one(database: Database) -> None:
    await many(database, 30, "x" * 100_000)
    wish = through(Asked(database))
    shares = [wish.share async for _ in wish.pieces()]
    assert shares == sorted(shares)
    assert wish.share == 1.0
