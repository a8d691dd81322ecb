"""Tags that are changed after the submission."""

from __future__ import annotations

import asyncio

import pytest

from storage import bounds, errors
from storage.engine.database import Database
from storage.query import grammar, run_pages
from storage.repositories import runs
from storage.transitions import submitting
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


async def change(database: Database, run_id: str, *, replaces: bool = False, **changes: str | None) -> runs.Run:
    found = await database.write(submitting.change_tags, run_id, changes, "key:ops", life.at(9), replaces=replaces)
    assert found is not None
    return found


async def test_tags_are_set_and_removed_and_the_others_stay(database: Database) -> None:
    run = await life.accepted(database, tags={"a": "1", "b": "2"})
    changed = await change(database, run.id, b=None, c="3")
    assert changed.tags == {"a": "1", "c": "3"}
    assert await database.read(runs.find, run.id) == changed


async def test_tags_are_replaced_as_a_whole(database: Database) -> None:
    run = await life.accepted(database, tags={"a": "1", "b": "2"})
    assert (await change(database, run.id, replaces=True, c="3")).tags == {"c": "3"}
    assert (await change(database, run.id, replaces=True)).tags == {}


async def test_the_ledger_records_a_change_once_with_its_actor_and_digest(database: Database) -> None:
    run = await life.accepted(database)
    for _ in range(2):
        await change(database, run.id, a="1")
    entry = await ledgers.last(database, run.id)
    assert (entry.kind, entry.actor, entry.facts, list(entry.digests)) == (
        "run.tagged", "key:ops", {"count": 1}, ["tags"],
    )  # fmt: skip
    assert await life.ledger_kinds(database, run.id) == ["run.accepted", "run.tagged"]


async def test_a_changed_tag_decides_which_lists_have_the_run(database: Database) -> None:
    run = await life.accepted(database, tags={"matter": "7"})
    await change(database, run.id, matter="8")
    for value, expected in (("7", []), ("8", [run.id])):
        asked = run_pages.Query(grammar.parse(f"tag.matter:{value}", life.NOW))
        found = await database.read(run_pages.find, asked)
        assert [each.id for each in found.runs] == expected


async def test_changes_at_once_are_all_kept(database: Database) -> None:
    run = await life.accepted(database)

    async def tag(number: int) -> None:
        await database.write(submitting.change_tags, run.id, {f"k{number}": "x"}, "key:ops", life.NOW)

    await asyncio.gather(*(tag(n) for n in range(8)))
    assert len((await life.get_run(database, run.id)).tags) == 8


async def test_a_run_never_has_more_tags_than_it_may(database: Database) -> None:
    run = await life.accepted(database, tags={f"k{n}": "x" for n in range(bounds.TAGS)})
    with pytest.raises(errors.TooManyTags):
        await change(database, run.id, one="more")
    assert len((await change(database, run.id, one="more", k0=None)).tags) == bounds.TAGS


async def test_an_unknown_run_has_no_tags_to_change(database: Database) -> None:
    assert await database.write(submitting.change_tags, "nothing", {"a": "1"}, "key:ops", life.NOW) is None
