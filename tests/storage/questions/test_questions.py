"""Equal and right: each question answered by both kinds of database, and by looking at every record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest
from sqlalchemy import Connection

from storage.query import grammar, run_pages
from storage.stats import questions
from tests.storage.questions import naive
from tests.storage.questions.asked import ASKED, Question
from tests.storage.questions.corpus import NOW, Record

#: Runs: several windows of keys, and more than are ranked or counted by words.
RUNS = 2600
#: Pages that are turned, and runs of one.
PAGES, LIMIT = 3, 29
Chosen = Callable[[Question], list[Record]]
NAMES = list(run_pages.SORTS)
EACH = pytest.mark.parametrize("question", ASKED, ids=lambda question: question.text or "everything")


@pytest.fixture(scope="module")
def chosen(records: list[Record]) -> Chosen:
    """Return a function that chooses the runs of a question, in order of acceptance."""
    return cache(lambda question: list(filter(question.holds, records)))


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
    wanted = grammar.parse(question, NOW)
    for _ in range(PAGES):
        page, cursor = run_pages.page(connection, run_pages.Query(wanted, sort, LIMIT, cursor))
        seqs += [run.seq for run in page]
        if cursor is None:
            break
    return seqs


def first(records: Sequence[Record]) -> list[int]:
    return [each.seq for each in records[: PAGES * LIMIT]]


@EACH
def test_the_pages_have_the_same_runs_in_the_same_order(
    question: Question, asked: Mapping[str, Connection], chosen: Chosen, orders: Mapping[str, list[Record]]
) -> None:
    holds = set(chosen(question))
    for sort in sorts(question):
        right = first([each for each in orders[sort] if each in holds])
        for kind, connection in asked.items():
            assert paged(connection, question.text, sort) == right, (kind, sort)


@EACH
def test_as_many_are_counted_as_there_are(
    question: Question, asked: Mapping[str, Connection], chosen: Chosen
) -> None:
    right = len(chosen(question))
    bound = run_pages.MAX_COUNTED_BY_WORDS if question.phrases else run_pages.MAX_COUNTED
    for connection in asked.values():
        counted = run_pages.count(connection, grammar.parse(question.text, NOW))
        assert counted == run_pages.Count(min(right, bound), exact=right <= bound)


@pytest.mark.parametrize("question", [each for each in ASKED if each.phrases], ids=lambda question: question.text)
def test_those_come_first_that_say_it_most(
    question: Question, asked: Mapping[str, Connection], chosen: Chosen
) -> None:
    right = first(naive.ordered(chosen(question), "-relevance", question.phrases))
    for kind, connection in asked.items():
        assert paged(connection, question.text, "-relevance") == right, kind


@EACH
def test_sums_of_groups_are_those_of_every_record(
    question: Question, asked: Mapping[str, Connection], chosen: Chosen
) -> None:
    by = naive.GROUPINGS[ASKED.index(question) % len(naive.GROUPINGS)]
    right = naive.sums(chosen(question), by)
    for kind, connection in asked.items():
        found = questions.find(connection, by, grammar.parse(question.text, NOW)).stats
        assert [exact(row) for row in found] == [replace(each, percentiles={}) for each in right], (kind, by)
        for row, each in zip(found, right, strict=True):
            assert shares(row) == {at: pytest.approx(ms, rel=0.032, abs=1) for at, ms in each.percentiles.items()}


def exact(row: questions.Row) -> naive.Sum:
    """Return the exact part of a row."""
    tokens = (row.input_tokens, row.output_tokens)
    return naive.Sum(row.key, row.count, row.cost_micros, *tokens, row.mean_duration_ms, row.max_duration_ms, {})


def shares(row: questions.Row) -> dict[int, int]:
    """Return the percentiles of a row, where it has any."""
    found = {50: row.p50_ms, 90: row.p90_ms, 95: row.p95_ms, 99: row.p99_ms}
    return {at: ms for at, ms in found.items() if ms is not None}


@pytest.mark.parametrize("by", ["agent", "model", "status", "day", "month"])
def test_sums_come_from_rollups_where_those_can_tell(asked: Mapping[str, Connection], by: str) -> None:
    text = "created:2026-11-01..2026-11-20" if by in ("day", "month") else "status:failed,completed"
    found = [questions.find(each, by, grammar.parse(text, NOW)) for each in asked.values()]
    assert {each.read_from for each in found} == {questions.ReadFrom.ROLLUP}


def test_there_are_two_hundred_questions_each_asked_once() -> None:
    assert len({question.text for question in ASKED}) == len(ASKED) >= 200
