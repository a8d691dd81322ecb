"""Every column of a run's record stands under the ledger, or has a published reason why not."""

from __future__ import annotations

import pytest

from receiver.verifier import coverage
from storage.tables import schema
from tests.laws import pages

TABLES = schema.metadata.tables


@pytest.mark.parametrize("table", coverage.COVERED)
def test_a_column_of_a_record_is_covered_or_exempt_and_not_both(table: str) -> None:
    covered, exempt = set(coverage.COVERED[table]), set(coverage.EXEMPT[table])
    listed = "list it in receiver/verifier/coverage.py: as covered by a fact or digest, or as exempt with a reason"
    assert covered | exempt == set(TABLES[table].columns.keys()), listed
    assert not covered & exempt


def test_every_table_is_covered_or_named_with_the_reason_why_not() -> None:
    assert coverage.COVERED.keys() == coverage.EXEMPT.keys()
    assert TABLES.keys() - coverage.COVERED.keys() == coverage.OUTSIDE.keys(), (
        "receiver/verifier/coverage.py lists them"
    )


def test_the_facts_and_digests_that_cover_are_those_of_the_kinds() -> None:
    """Each fact and digest is in the table of kinds on the page of the ledger."""
    rows = [line for line in pages.text("reference/ledger.md").splitlines() if line.startswith("| `")]
    covers = {cover for columns in coverage.COVERED.values() for cover in columns.values()}
    named = {each for cover in covers for each in (cover.fact, cover.digest) if each is not None}
    assert not {each for each in named if not any(f"`{each}`" in row for row in rows)}
