"""The lists that reference pages have by hand agree with the code."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from storage import merkle
from storage.engine.database import Database
from storage.ledger import entries as ledger_entries
from storage.query import grammar
from storage.repositories import ledger_changes
from storage.stats import groups
from tests import life
from tests.laws import pages


def _first_cells(page: str, heading: str) -> set[str]:
    """Return the words in code of the first column of the table under a heading."""
    section = pages.written(page).partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {word for cell in rows for word in re.findall(r"`([^`]+)`", cell)}


def test_the_filter_language_lists_every_name_and_no_other() -> None:
    names = {f"{name}<key>" if name == grammar.TAG_PREFIX else name for name in grammar.NAMES}
    assert _first_cells("reference/filter-language.md", "## Names") == names


def test_the_filter_language_lists_everything_that_can_be_there() -> None:
    (row,) = [
        line for line in pages.text("reference/filter-language.md").splitlines() if line.startswith("| `has`")
    ]
    listed = re.findall(r"[a-z_]+", row.split("|")[2].partition(", `tag")[0])
    assert tuple(listed) == grammar.OPTIONAL_NAMES


def test_the_ledger_page_lists_every_kind_and_no_other() -> None:
    assert _first_cells("reference/ledger.md", "## Kinds") == {kind.value for kind in ledger_entries.Kind}


def test_the_page_on_statistics_lists_everything_that_runs_are_grouped_by() -> None:
    assert _groups() == {by.value for by in groups.By} | {"tag.<key>"}


def _groups() -> set[str]:
    rows = pages.text("guides/statistics.md").partition("| `by` | groups |")[2].partition("\n\n")[0].splitlines()
    return {word for row in rows if row.startswith("| `") for word in re.findall(r"`([^`]+)`", row.split("|")[1])}


def _listed(kind: str, column: int) -> set[str]:
    """Return the names that the ledger page lists for a kind: facts in the second column, digests in the third."""
    section = pages.text("reference/ledger.md").partition("\n## Kinds\n")[2].partition("\n## ")[0]
    (row,) = [line for line in section.splitlines() if f"`{kind}`" in "".join(line.split("|")[1:2])]
    return set(re.findall(r"`(\w+)`", row.split("|")[column]))


@pytest.mark.anyio
async def test_the_ledger_page_lists_the_facts_and_digests_of_a_run(database: Database) -> None:
    await life.settled_run(database)
    entries = [json.loads(each.body) for each in await _entries(database)]
    assert {"run.accepted", "run.created", "run.started", "run.completed"} <= {each["kind"] for each in entries}
    for entry in entries:
        assert set(entry["facts"]) <= _listed(entry["kind"], 2), entry["kind"]
        assert set(entry["digests"]) <= _listed(entry["kind"], 3), entry["kind"]


async def _entries(database: Database) -> Sequence[ledger_changes.Change]:
    await database.write(ledger_entries.number, 500)
    return await database.read(ledger_changes.after, -1, 500)


@pytest.fixture(scope="module")
def program() -> dict[str, Any]:
    """Return the functions that the ledger page shows."""
    made: dict[str, Any] = {}
    exec("\n".join(pages.blocks("reference/ledger.md", "python")), made)
    return made


def test_the_digest_that_the_ledger_page_computes_is_that_of_an_entry(program: dict[str, Any]) -> None:
    (sealed,) = merkle.salted_digest("prompt", b"Review the lease.")
    assert program["digest"](sealed.salt, "prompt", b"Review the lease.") == sealed.hex


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 8, 13])
def test_the_root_that_the_ledger_page_computes_is_that_of_the_steps(program: dict[str, Any], count: int) -> None:
    leaves = [merkle.leaf_hash(bytes([at])) for at in range(count)]
    assert program["root"](leaves) == merkle.root(leaves)
