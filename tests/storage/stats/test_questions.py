"""Sums over runs: the same whether they come from rollups or from rows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import errors, states
from storage.engine.database import Database
from storage.query import grammar
from storage.stats import error_signatures, groups, histogram, questions
from storage.transitions import submitting
from tests import life

pytestmark = pytest.mark.anyio


async def asked(database: Database, by: str, question: str = "", **bounds: int) -> questions.Answer:
    return await database.timed_read(questions.find, by, grammar.parse(question, life.NOW), **bounds)


async def rows(database: Database, by: str, question: str = "", **bounds: int) -> Sequence[questions.Row]:
    return (await asked(database, by, question, **bounds)).stats


async def counts(database: Database, by: str, question: str = "", **bounds: int) -> dict[str | None, int]:
    return {row.key: row.count for row in await rows(database, by, question, **bounds)}


async def timed(database: Database, *durations: int | None, **changes: Any) -> None:
    for duration in durations:
        measures = life.measures(duration_ms=duration)
        await life.settled_run(database, result=life.result(measures=measures), **changes)


async def mixed(database: Database) -> None:
    """Runs of two agents and models over three months, in every state."""
    days = (0, -86_400, -40 * 86_400, -80 * 86_400)
    models = itertools.cycle([None, "m-1", "m-2"])
    for day, status, agent in itertools.product(days, sorted(states.REPORTED), "ab"):
        measures = life.measures(created_at=life.at(day), duration_ms=abs(day) + 1000, model=next(models))
        await life.settled_run(database, status, result=life.result(status, measures=measures), agent_id=agent)
    await life.accepted(database, agent_id="a", model="m-1")
    await life.running(database, agent_id="b")
    cancelled = await life.accepted(database, agent_id="b")
    await database.write(submitting.request_cancel, cancelled.id, "key:backend", life.at(1))


#: What rollups answer, by what they are asked.
BYS = ("agent", "model", "status", "day", "month")
CREATED = (
    "",
    "created:2026-11-23",
    "created:2026-09-04..2026-10-14",
    "created:>2026-10-31",
    "created:<2026-11-01",
)
STATES = ("", "status:failed,completed", "-status:completed", "status:running,failed")
NAMED = ("", "agent:a", "model:m-1,m-2")


async def test_runs_are_summed_by_agent(database: Database) -> None:
    for _ in range(2):
        await life.settled_run(database, agent_id="busy")
    await life.accepted(database, agent_id="idle")
    assert await rows(database, "agent") == [
        questions.Row("busy", 2, 6000, 180, 72, 60_000, *[60_000] * 5),
        questions.Row("idle", 1, 0, 0, 0, None, None, None, None, None, None),
    ]


@pytest.mark.parametrize("by", ["agent", "tag.absent"])
async def test_mean_longest_and_percentiles_of_durations_are_reported(database: Database, by: str) -> None:
    await timed(database, *range(1, 31), None)
    (row,) = await rows(database, by)
    assert (row.mean_duration_ms, row.max_duration_ms) == (round(sum(range(1, 31)) / 30), 30)
    assert (row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms) == (15, 27, 29, 30)


async def test_rollups_and_rows_give_the_same_answer(database: Database) -> None:
    await mixed(database)
    used = set()
    for by, created, state, named in itertools.product(BYS, CREATED, STATES, NAMED):
        if created and state and named:
            continue  # each two of them are asked together
        question = f"{created} {state} {named}"
        found = await asked(database, by, question)
        by_rows = await asked(database, by, f"{question} origin:submitted")
        assert by_rows.read_from is questions.ReadFrom.ROWS
        assert found.stats == by_rows.stats, (by, question, found.read_from)
        used.add((by, created == "", named.partition(":")[0], found.read_from is questions.ReadFrom.ROLLUP))
    assert {(by, True, "", True) for by in BYS} <= used
    assert ("agent", True, "model", False) in used


@pytest.mark.parametrize(
    ("by", "question", "read_from"),
    [
        ("agent", "", "rollup"),
        ("agent", "created:>=2026-11-01", "rollup"),
        ("agent", "created:>=2026-11-02", "rows"),
        ("status", "created:>=2026-11-02", "rollup"),
        ("day", "created:2026-11-02..2026-11-05,2026-11-07", "rollup"),
        ("day", "created:>-7d", "rows"),
        ("day", "agent:a", "rows"),
        ("month", "agent:a status:failed", "rollup"),
        ("agent", "agent:a model:b", "rows"),
        ("agent", "agent:a*", "rows"),
        ("agent", 'agent:""', "rows"),
        ("status", "cost:>1", "rows"),
        ("hour", "", "rows"),
        ("tag.client", "", "rows"),
    ],
)
async def test_an_answer_names_what_it_was_read_from(
    embedded: Database, by: str, question: str, read_from: str
) -> None:
    assert (await asked(embedded, by, question)).read_from == read_from


async def test_runs_without_a_value_are_a_group_too(database: Database) -> None:
    await life.accepted(database)
    await life.settled_run(database)
    for by in ("model", "tag.client"):
        assert await counts(database, by) == {None: 2}


async def test_days_are_those_of_creation_or_acceptance_newest_first(database: Database) -> None:
    yesterday = life.measures(created_at=life.at(-86_400))
    await life.settled_run(database, result=life.result(measures=yesterday))
    await life.accepted(database)
    for by, keys in (
        ("day", ["2026-11-23", "2026-11-22"]),
        ("hour", ["2026-11-23T12:00Z", "2026-11-22T12:00Z"]),
        ("month", ["2026-11"]),
    ):
        assert [row.key for row in await rows(database, by)] == keys


async def test_what_was_never_created_counts_on_the_day_of_its_acceptance(database: Database) -> None:
    cancelled = await life.accepted(database)
    await database.write(submitting.request_cancel, cancelled.id, "key:backend", life.at(1))
    assert await counts(database, "status") == {"cancelled": 1}
    for question in ("created:2026-11-23", "created:>=2026-11-23", "accepted:2026-11-23", "created:>-7d"):
        assert await counts(database, "status", question) == {"cancelled": 1}
    assert await counts(database, "status", "created:2026-11-22") == {}


async def test_the_values_of_a_tag_are_groups(database: Database) -> None:
    for client in ("acme", "acme", "bolt"):
        await life.settled_run(database, tags={"client": client, "other": "x"})
    await life.settled_run(database)
    assert await counts(database, "tag.client") == {"acme": 2, "bolt": 1, None: 1}
    assert await counts(database, "tag.client", "tag.client:bolt") == {"bolt": 1}


async def test_by_source_the_delay_between_end_and_report_is_shown(database: Database) -> None:
    for late, source in ((63, states.Source.WATCHER), (64.5, states.Source.WATCHER), (662, states.Source.SWEEP)):
        await life.settle(database, await life.running(database), life.result(), life.at(late), source)
    await life.running(database)
    found = await asked(database, "source")
    assert found.measure is groups.Measure.SETTLING
    reported = {row.key: (row.count, row.mean_duration_ms, row.max_duration_ms) for row in found.stats}
    assert reported == {"watcher": (2, 1750, 2500), "sweep": (1, 600_000, 600_000)}


async def test_reasons_that_say_the_same_of_different_runs_are_one_group(database: Database) -> None:
    for reason in ("run_01h timed out after 300s", "run_7xk2 timed out after 12s", "HTTP 503", "HTTP 429", None):
        measures = life.measures(failure_reason=reason)
        await life.settled_run(database, states.FAILED, result=life.result(states.FAILED, measures=measures))
    await life.settled_run(database)
    assert await counts(database, "failure_reason") == {
        "# timed out after #": 2,
        "HTTP 503": 1,
        "HTTP 429": 1,
        None: 1,
    }


async def test_the_filter_chooses_what_is_summed(database: Database) -> None:
    await life.settled_run(database)
    await life.settled_run(database, states.FAILED)
    assert await counts(database, "status", "status:failed") == {"failed": 1}
    assert await counts(database, "status", "status:failed cost:>0.001") == {"failed": 1}


@pytest.mark.parametrize("by", [each for each in groups.By if each not in ("source", "failure_reason")])
async def test_every_grouping_counts_every_run(by: str, database: Database) -> None:
    await life.settled_run(database)
    await life.accepted(database)
    assert sum((await counts(database, by)).values()) == 2


async def test_beyond_a_bound_the_newest_runs_are_summed_and_the_answer_says_so(database: Database) -> None:
    for number in range(5):
        await life.settled_run(database, accepted_at=life.at(number - 9), tags={"n": str(number)})
    found = await asked(database, "tag.n", bound=3)
    assert {row.key for row in found.stats} == {"2", "3", "4"}
    assert (found.bounded, found.window) == (True, questions.Window(3, life.at(-7)))


async def test_a_bound_that_leaves_nothing_out_is_not_reported(database: Database) -> None:
    for day in (-5, -4, 0, 0):
        measures = life.measures(created_at=life.at(day * 86_400))
        await life.settled_run(database, result=life.result(measures=measures))
    assert not (await asked(database, "origin", bound=4)).bounded
    newest = await asked(database, "origin", "created:>-1h", bound=2)
    assert (newest.bounded, [row.count for row in newest.stats]) == (False, [2])
    assert (await asked(database, "origin", "created:>-100h", bound=2)).bounded


@pytest.mark.parametrize(
    ("by", "meant"), [("agnet", "agent"), ("tags.<key>", "tag.<key>"), ("", None), ("tag.", "tag.<key>")]
)
def test_a_grouping_that_is_unknown_is_named_with_what_was_meant(by: str, meant: str | None) -> None:
    with pytest.raises(errors.BadFilter) as raised:
        questions.check_grouping(by)
    assert (raised.value.name, raised.value.suggestion) == ("by", meant)


@given(st.integers(-5, 2**42 - 1))
def test_a_bucket_represents_the_values_in_it(milliseconds: int) -> None:
    known = max(milliseconds, 0)
    assert abs(histogram.middle(histogram.bucket_of(milliseconds)) - known) <= known / 32


@given(st.lists(st.integers(0, 10**8), min_size=1), st.sampled_from([50, 90, 95, 99, 100]))
def test_percentiles_are_those_of_the_nearest_rank(durations: list[int], percent: int) -> None:
    counted = histogram.Histogram()
    for each in durations:
        counted.add(histogram.bucket_of(each), 1)
    rank = next(n for n in range(1, len(durations) + 1) if n * 100 >= percent * len(durations))
    exact = sorted(durations)[rank - 1]
    assert counted.percentiles([percent]) == [histogram.middle(histogram.bucket_of(exact))]


@given(st.lists(st.lists(st.integers(0, 640))))
def test_histograms_are_added_subtracted_and_packed_without_loss(groups: list[list[int]]) -> None:
    together = histogram.Histogram()
    for group in groups:
        one = histogram.Histogram()
        for bucket in group:
            one.add(bucket, 1)
        together.merge(histogram.Histogram(one.packed))
    assert together.counts == Counter(itertools.chain(*groups))
    for bucket in itertools.chain(*groups):
        together.add(bucket, -1)
    assert (together.counts, together.percentiles([50])) == ({}, None)


def test_bytes_that_are_no_histogram_and_numbers_beyond_four_bytes_raise_nothing() -> None:
    assert histogram.Histogram(b"abc").counts == {}
    full = histogram.Histogram()
    full.add(3, 2**40)
    assert histogram.Histogram(full.packed).counts == {3: 2**32 - 1}


@given(st.text())
def test_the_form_of_a_reason_is_its_own_form(text: str) -> None:
    once = error_signatures.signature(text)
    assert len(once) <= error_signatures.MAX_SIGNATURE
    assert "\n" not in once
