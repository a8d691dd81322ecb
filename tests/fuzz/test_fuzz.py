"""Run a short pass of every surface under one seed; `make fuzz` goes on for MINUTES."""

from __future__ import annotations

import asyncio

import pytest

from tests import postgres
from tests.fuzz import probing, report, session, trial, values

SEED = 20261129
#: The number of cases per surface. Commands take seconds each, so only the long run has them.
CASES = {
    "upstream": 20,
    "callbacks": 40,
    "events": 60,
    "questions": 30,
    "pages": 40,
    "headers": 40,
    "settings": 60,
}


@pytest.fixture
def cluster_of(kind: str, request: pytest.FixtureRequest) -> postgres.Cluster | None:
    """Return the PostgreSQL of this process, for that kind of database."""
    found: postgres.Cluster | None = request.getfixturevalue("cluster") if kind == "postgresql" else None
    return found


def test_hostile_values_on_every_surface_leave_the_server_answering_and_every_run_settled(
    kind: str, cluster_of: postgres.Cluster | None
) -> None:
    played = session.Session(SEED, 0.0)
    asyncio.run(_played(played, kind, cluster_of))
    assert not {
        f"{each.surface}: {each.finding.signature}": each.finding.detail for each in played.failures.values()
    }


async def _played(played: session.Session, kind: str, cluster: postgres.Cluster | None) -> None:
    async with trial.opened(kind, adopt=True, cluster=cluster) as bench:
        for surface, count in CASES.items():
            await played.run_batch(bench, surface, 0, count, is_short=True)


def test_one_seed_draws_the_same_cases_each_time() -> None:
    known = trial.Known("key", ["run"], ["run_1"], ["/callbacks/run.signature"], "cursor", "agent")
    one, other = session.Session(7, 1.0), session.Session(7, 1.0)
    for surface in ("upstream", "callbacks", "questions", "pages", "headers", "settings"):
        assert one.drawn(surface, 3, known) == other.drawn(surface, 3, known)


def test_a_failure_names_the_command_that_repeats_it() -> None:
    failure = session.Failure("events", 12, "sqlite", trial.Finding("5xx", "POST /webhooks/case: 500"))
    assert report.again(7, failure) == "python -m tests.fuzz --seed 7 --database sqlite --only events:12"


def test_an_answer_that_waited_for_a_core_is_not_held_against_the_server() -> None:
    assert probing.Probe(0.0, seconds=3.0, waited=2.8, status=200).own == pytest.approx(0.2)


def test_a_value_is_rendered_verbatim_and_a_name_twice() -> None:
    pairs = values.Pairs((("a", values.Raw("1e400")), ("a", ["\ud800"])))
    assert values.encoded(pairs) == b'{"a":1e400,"a":["\\ud800"]}'
