"""Texts of queries, changed term by term."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.query import grammar, query_text
from tests import life


def terms(text: str) -> tuple[query_text.Term, ...]:
    return query_text.read(text, life.NOW)


def test_a_text_is_split_into_the_terms_that_must_hold() -> None:
    found = terms('status:failed,lost -tag.env:test (a OR b) "force majeure"')
    assert [each.text for each in found] == ["status:failed,lost", "-tag.env:test", "(a OR b)", '"force majeure"']
    assert [each.parts for each in found][:2] == [("status:", "failed,lost"), ("-tag.env:", "test")]
    assert [each.is_negated for each in found] == [False, True, False, False]


def test_alternatives_are_one_term_in_parentheses() -> None:
    (found,) = terms("status:failed OR cost:>1")
    assert found.text == "(status:failed OR cost:>1)"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "status:failed"),
        ("status:lost cost:>1", "cost:>1 status:lost,failed"),
        ("status:failed", ""),
        ("status:lost,failed", "status:lost"),
        ("-status:failed", "status:failed"),
        ("-status:lost", "-status:lost status:failed"),
    ],
)
def test_a_value_is_chosen_beside_others_and_given_up_again(before: str, after: str) -> None:
    assert query_text.toggled(terms(before), "status", "failed") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("cost:>1", "cost:>1 -status:failed"),
        ("status:failed", "-status:failed"),
        ("-status:failed cost:>1", "cost:>1"),
    ],
)
def test_a_value_is_excluded_and_let_in_again(before: str, after: str) -> None:
    assert query_text.excluding(terms(before), "status", "failed") == after


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_value_is_read_as_it_was_written(value: str) -> None:
    text = query_text.equals("tag.client", value)
    assert grammar.parse(text, life.NOW) == grammar.Equals("tag.client", (grammar.Value(value),))
