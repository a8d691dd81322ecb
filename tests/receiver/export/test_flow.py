"""The flow of an export: bounded chunks, and smaller ones where the database is slow."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from receiver.export import flow, formats
from storage import errors
from storage.engine.database import Database
from storage.query import grammar, run_chunks
from storage.search import index
from storage.tables.runs import RUN_DOCUMENTS
from tests import life
from tests.receiver.export import files

pytestmark = pytest.mark.anyio


class Asked:
    """Stands in front of a database: notes what came of each question, takes no window wider than `widest`, and
    none at all the first `busy` times.
    """

    def __init__(self, database: Database, widest: int = 1 << 60, busy: int = 0) -> None:
        self.database, self.widest, self.busy = database, widest, busy
        self.weights: list[int] = []

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if function is run_chunks.read_chunk and self.busy:
            self.busy -= 1
            raise errors.Busy("too many questions")
        for window in arguments:
            if isinstance(window, index.Window) and window.high - window.low > self.widest:
                raise errors.StatementTimeout("it was not answered")
        found = await self.database.timed_read(function, *arguments)
        if isinstance(found, run_chunks.Chunk):
            self.weights.append(sum(each.weight for each in found.records))
        return found


def through(asked: Asked) -> flow.Export:
    form = flow.new_writer(formats.Format.JSONL)
    return flow.Export(asked.ask, grammar.EVERYTHING, form, run_chunks.Parts(documents=True))


async def many(database: Database, count: int, prompt: str = "") -> None:
    for at in range(count):
        await life.accepted(database, prompt=f"{at} {prompt}")


async def test_a_chunk_holds_little_more_than_its_bound_however_much_there_is(database: Database) -> None:
    await many(database, 60, "x" * 100_000)
    asked = Asked(database)
    sizes = [len(piece) async for piece in through(asked).pieces()]
    assert sum(sizes) > 60 * 100_000
    assert max(asked.weights) < run_chunks.BYTES_AT_ONCE + run_chunks.BATCH * 110_000
    assert max(sizes) < run_chunks.BYTES_AT_ONCE + run_chunks.BATCH * 110_000


async def test_nothing_is_read_before_it_is_requested(database: Database) -> None:
    await many(database, 40, "x" * 100_000)
    asked = Asked(database)
    pieces = through(asked).pieces()
    await anext(pieces)
    assert len(asked.weights) == 0
    await anext(pieces)
    assert len(asked.weights) == 1
    await pieces.aclose()


async def test_what_is_too_slow_is_requested_in_smaller_parts(database: Database) -> None:
    await files.populated(database)
    written = b"".join([piece async for piece in through(Asked(database, widest=16)).pieces()])
    assert written == await files.bytes_of(database)


async def test_an_export_waits_where_too_many_ask(database: Database) -> None:
    await files.populated(database)
    asked = Asked(database, busy=2)
    written = b"".join([piece async for piece in through(asked).pieces()])
    assert written == await files.bytes_of(database)
    assert asked.busy == 0


async def test_what_stays_too_slow_is_an_error_and_has_no_trailer(database: Database) -> None:
    await many(database, 30)
    pieces = through(Asked(database, widest=1)).pieces()
    assert await anext(pieces) == b""
    with pytest.raises(errors.StatementTimeout):
        await anext(pieces)


async def test_how_far_it_is_grows_to_one(database: Database) -> None:
    await many(database, 30, "x" * 100_000)
    export = through(Asked(database))
    shares = [export.share async for _ in export.pieces()]
    assert shares == sorted(shares)
    assert export.share == 1.0


@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_a_run_that_cannot_be_written_is_named_and_the_others_are(database: Database, form: str) -> None:
    found = [await life.settled_run(database) for _ in range(5)]
    await database.write(spoil, found[1].id)
    export = files.begun(database, form=form)
    written = b"".join([piece async for piece in export.pieces()])
    bad = [found[1].id] if form == "jsonl" else []  # a sheet has no documents
    assert [each.id.encode() in written.rpartition(b"trailer")[0] for each in found] == [
        each.id not in bad for each in found
    ]
    assert export.summary is not None
    assert (export.summary.records, export.summary.unwritten, list(export.summary.unwritten_runs)) == (
        5 - len(bad),
        len(bad),
        bad,
    )
    if form == "jsonl":
        assert files.trailer(written) == json.loads(json.dumps(export.summary.as_json()))


def spoil(connection: Connection, run_id: str) -> None:
    """Break the frame of a document, as a bad disk would."""
    documents = RUN_DOCUMENTS
    connection.execute(documents.update().where(documents.c.run_id == run_id).values(body=b"no frame"))


async def test_a_run_with_an_unknown_value_is_written_as_it_is(embedded: Database) -> None:
    found = [await life.settled_run(embedded) for _ in range(3)]

    def twist(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        connection.exec_driver_sql("UPDATE runs SET settled_by = 'rumour' WHERE id = ?", (found[1].id,))

    await embedded.write(twist)
    for form in ("jsonl", "csv"):
        export = files.begun(embedded, form=form)
        written = b"".join([piece async for piece in export.pieces()])
        assert export.summary is not None
        assert (export.summary.records, export.summary.unwritten_runs) == (3, ())
        assert written.count(b"rumour") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE runs SET prompt = CAST(X'41ff' AS TEXT) WHERE id = ?",
        "UPDATE runs SET object_ids = CAST(X'5b22ff225d' AS TEXT) WHERE id = ?",
        "UPDATE run_tags SET value = CAST(X'ff' AS TEXT) WHERE run_id = ?",
    ],
)
@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_a_run_whose_text_is_not_utf_8_is_left_out_and_named(
    embedded: Database, form: str, sql: str
) -> None:
    found = [await life.settled_run(embedded, tags={"matter": "7"}, object_ids=("obj",)) for _ in range(3)]
    spoilt = found[1].id
    await embedded.write(lambda connection: connection.exec_driver_sql(sql, (spoilt,)).close())
    export = files.begun(embedded, form=form)
    written = b"".join([piece async for piece in export.pieces()])
    assert export.summary is not None
    assert (export.summary.records, list(export.summary.unwritten_runs)) == (2, [spoilt])
    assert written
