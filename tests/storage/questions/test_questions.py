"""Equal and right: each question answered by both kinds of database, and by looking at every record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy import Connection

from storage import filters, lists
from tests.storage.questions import naive
from tests.storage.questions.asked import ASKED, Question
from tests.storage.questions.corpus import NOW, Record

#: Pages that are turned, and runs of one.
PAGES, LIMIT = 5, 17
NAMES = list(lists.SORTS)
EACH = pytest.mark.parametrize("question", ASKED, ids=lambda question: question.text or "everything")


@pytest.fixture(scope="module")
def orders(records: list[Record]) -> Mapping[str, list[Record]]:
    """All runs in every order."""
    return {sort: naive.ordered(records, sort) for name in NAMES for sort in (name, f"-{name}")}


def sorts(question: Question) -> list[str]:
    """Orders of acceptance for each question, and in turn those of one measure: each has some forty questions."""
    name = NAMES[1 + ASKED.index(question) % (len(NAMES) - 1)]
    return ["accepted", "-accepted", name, f"-{name}"]


def paged(connection: Connection, question: str, sort: str) -> list[int]:
    """The keys of the runs on the first pages."""
    seqs: list[int] = []
    cursor = None
    wanted = filters.parse(question, NOW)
    for _ in range(PAGES):
        page, cursor = lists.page(connection, lists.Query(wanted, sort, LIMIT, cursor))
        seqs += [run.seq for run in page]
        if cursor is None:
            break
    return seqs


def first(records: Sequence[Record]) -> list[int]:
    return [each.seq for each in records[: PAGES * LIMIT]]


@EACH
def test_the_pages_have_the_same_runs_in_the_same_order(
    question: Question, asked: Mapping[str, Connection], records: list[Record], orders: Mapping[str, list[Record]]
) -> None:
    chosen = set(filter(question.holds, records))
    for sort in sorts(question):
        right = first([each for each in orders[sort] if each in chosen])
        for kind, connection in asked.items():
            assert paged(connection, question.text, sort) == right, (kind, sort)


@EACH
def test_as_many_are_counted_as_there_are(
    question: Question, asked: Mapping[str, Connection], records: list[Record]
) -> None:
    right = sum(map(question.holds, records))
    bound = lists.COUNTED_BY_WORDS if question.phrases else lists.COUNTED
    for connection in asked.values():
        counted = lists.count(connection, filters.parse(question.text, NOW))
        assert counted == lists.Count(min(right, bound), exact=right <= bound)


@pytest.mark.parametrize("question", [each for each in ASKED if each.phrases], ids=lambda question: question.text)
def test_those_come_first_that_say_it_most(
    question: Question, asked: Mapping[str, Connection], records: list[Record]
) -> None:
    right = first(
        naive.ordered([each for each in records if question.holds(each)], "-relevance", question.phrases)
    )
    for kind, connection in asked.items():
        assert paged(connection, question.text, "-relevance") == right, kind


def test_there_are_two_hundred_questions_each_asked_once() -> None:
    assert len({question.text for question in ASKED}) == len(ASKED) >= 200
