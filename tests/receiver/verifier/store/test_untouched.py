"""A store that nobody changed verifies, whatever is in it."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from receiver.verifier import public_forms
from storage import ids, states
from storage.actions import reviews
from storage.engine.database import Database
from storage.ledger import entries, proofs
from storage.retention import contents, erasing
from storage.transitions import submitting
from tests import life
from tests.tamper import opened, stores

pytestmark = pytest.mark.anyio


async def test_a_store_with_every_kind_of_run_verifies(database: Database, database_url: str) -> None:
    await stores.fill(database)
    report = opened.verified(database_url)
    assert not report.breaks, "\n".join(each.sentence for each in report.breaks)
    assert report.size == report.signed_size == report.checked["entries"] > 300
    assert {name: report.checked[name] > 0 for name in ("runs", "deliveries", "digests", "nodes", "erased")} == (
        dict.fromkeys(("runs", "deliveries", "digests", "nodes", "erased"), True)
    )
    assert report.checked["checkpoints"] == 6
    assert (report.checked["holds"], report.checked["completeness_reports"]) == (3, 1)


async def test_a_checkpoint_that_was_kept_is_compared(database: Database, database_url: str) -> None:
    await stores.fill(database)
    newest = await database.read(proofs.newest_checkpoint)
    assert newest is not None
    kept = public_forms.parse_checkpoint(newest.note.encode())
    assert opened.verified(database_url, kept).is_ok


async def test_a_part_of_it_is_verified_alone_and_the_rest_is_named(database: Database, database_url: str) -> None:
    await stores.fill(database)
    whole, part = opened.verified(database_url), opened.verified(database_url, since=60)
    assert part.is_ok
    assert part.checked["entries"] == whole.size - 60
    assert 0 < part.checked["runs"] < whole.checked["runs"]
    assert "below 60" in part.unchecked[0]


async def test_an_empty_store_and_one_without_checkpoints_verify(database: Database, database_url: str) -> None:
    assert opened.verified(database_url).is_ok
    await life.settled_run(database)
    report = opened.verified(database_url)
    assert report.is_ok
    assert report.signed_size == 0


async def test_a_text_that_is_not_utf_8_is_a_change_like_any_other(file_url: str) -> None:
    async with Database(file_url) as database:
        run = await life.settled_run(database)
        await database.write(_spoil, run.id)
    (found,) = opened.verified(file_url).breaks
    assert (found.code, found.run, found.column) == ("row_changed", run.id, "output")


def _spoil(connection: Connection, run_id: str) -> None:
    connection.execute(text("UPDATE runs SET output = CAST(x'ff41' AS TEXT) WHERE id = :id"), {"id": run_id})


async def test_no_value_of_a_damaged_entry_stops_the_verification(database: Database, database_url: str) -> None:
    await stores.fill(database)
    deep = '{"v":1,"kind":"a","at":"","run":null,"actor":"","facts":{"a":' + "[" * 100_000 + "]" * 100_000 + "}}"
    await database.write(_replace_body, "'" + deep + "'", "leaf_index = 5")
    listed = "replace(body, '\"fields\":[', '\"fields\":[[1],')"
    await database.write(_replace_body, listed, "kind = 'content.erased'")
    codes = opened.verified(database_url).breaks_by_code
    assert codes["entry_changed"] > 2


def _replace_body(connection: Connection, value: str, where: str) -> None:
    connection.exec_driver_sql(f"UPDATE ledger_entries SET body = {value} WHERE {where}")


async def test_a_comment_that_came_after_an_erasure_is_not_erased(database: Database, database_url: str) -> None:
    run = await life.settled_run(database)
    review = reviews.Review(
        ids.new(life.at(70)), run.id, states.ReviewVerdict.COMMENT, "Old.", "key:a", life.at(70)
    )
    await database.write(reviews.add, review)
    erasure = erasing.Erasure("x", "operator", fields=frozenset(contents.CHOICES))
    await database.write(erasing.erase_run, run.id, erasure, life.at(80))
    later = replace(review, id=ids.new(life.at(90)), comment="New.", at=life.at(90))
    await database.write(reviews.add, later)
    await database.write(entries.number, 1000)
    assert opened.verified(database_url).is_ok
    await database.write(_remove_comments)
    (found,) = opened.verified(database_url).breaks
    assert (found.code, found.column) == ("row_changed", "comment")


def _remove_comments(connection: Connection) -> None:
    connection.execute(text("UPDATE run_reviews SET comment = NULL"))
    connection.execute(text("UPDATE ledger_entries SET salts = NULL WHERE kind = 'run.reviewed'"))


async def test_tags_that_were_removed_before_an_erasure_are_erased(database: Database, database_url: str) -> None:
    run = await life.settled_run(database, tags={"matter": "7"})
    await database.write(submitting.change_tags, run.id, {"matter": None}, "key:a", life.at(70))
    erasure = erasing.Erasure("x", "operator", fields=frozenset(contents.CHOICES))
    erased = await database.write(erasing.erase_run, run.id, erasure, life.at(80))
    await database.write(entries.number, 1000)
    assert states.Content.TAGS in erased.fields
    assert opened.verified(database_url).is_ok


async def test_runs_with_long_texts_are_read_few_at_a_time(database: Database, database_url: str) -> None:
    for second in range(60):
        submission = life.submission(id=ids.new(life.at(second)), prompt="x" * 1_000_000)
        await database.write(submitting.submit, submission)
    await database.write(entries.number, 1000)
    tracemalloc.start()
    try:
        assert opened.verified(database_url).checked["runs"] == 60
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 45_000_000
