"""What is asked: pages, the routes of the API with the same content, and the nearest pages of Datasette."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage import cursors
from tests.bench.query import store

#: The question about the run of very many steps.
LARGE = "run of 5,000 steps, 10 MB"
#: A page of Datasette without its number of rows and the facets that it would suggest, which take it longer.
_LEAN = "_nocount=1&_nosuggest=1&_size=50"


@dataclass(frozen=True)
class Question:
    """The addresses of a page, of a route of the API, and of Datasette, varied where that matters.

    A partial answer is one that follows a page.
    """

    page: Sequence[str]
    route: Sequence[str] = ()
    table: Sequence[str] = ()
    is_partial: bool = False


def table(count: int, large_run: str) -> Mapping[str, Question]:
    """Return each question by its name, for a database of so many runs and one of very many steps."""
    seqs = [1 + count * part // 20 for part in range(2, 18)]
    deep = [cursors.Cursor("-accepted", None, seq) for seq in seqs]
    agents = [f"agent_{number}" for number in range(0, store.AGENTS, 3)]
    clients = [f"client_{number}" for number in range(0, store.CLIENTS, 9)]
    runs = [store.id_of(seq) for seq in seqs]
    facets = "&".join(f"_facet={name}" for name in ("status", "agent_id", "model", "settled_by"))
    return {
        "overview": Question(["/"]),
        "runs": Question(["/runs"], ["/v1/runs"], [_runs("_sort_desc=seq")]),
        "deep page": Question(
            [f"/runs?cursor={each}" for each in deep],
            [f"/v1/runs?cursor={each}" for each in deep],
            [_runs(f"_sort_desc=seq&_next={seq}%2C{seq}") for seq in seqs],
        ),
        "agent + state": Question(
            [f"/runs?q=agent:{each}+status:failed" for each in agents],
            [f"/v1/runs?agent={each}&status=failed" for each in agents],
            [_runs(f"agent_id={each}&status=failed&_sort_desc=seq") for each in agents],
        ),
        "tag": Question(
            [f"/runs?q=tag.client:{each}" for each in clients], [f"/v1/runs?tag.client={each}" for each in clients]
        ),
        "cost order": Question(["/runs?sort=-cost"], ["/v1/runs?sort=-cost"], [_runs("_sort_desc=cost_micros")]),
        "rare word": Question(["/runs?q=zyzzyva"], ["/v1/runs?q=zyzzyva"], [_runs("output__contains=zyzzyva")]),
        "values and counts": Question(
            ["/runs/facets"], table=[f"/runledger/runs?{facets}&{_LEAN}"], is_partial=True
        ),
        "sums of a filter": Question(
            [f"/runs/summary?q=agent:{each}" for each in agents],
            [f"/v1/stats?by=day&agent={each}" for each in agents],
            is_partial=True,
        ),
        "run": Question(
            [f"/runs/{each}" for each in runs],
            [f"/v1/runs/{each}" for each in runs],
            [f"/runledger/runs/{each}" for each in seqs],
        ),
        LARGE: Question(
            [f"/runs/{large_run}"],
            [f"/v1/runs/{large_run}/steps?limit=200"],
            [f"/runledger/run_steps?run_id={large_run}&_nocount=1&_nosuggest=1&_size=100"],
        ),
        "deliveries": Question(
            ["/deliveries"], ["/v1/deliveries"], [f"/runledger/deliveries?_sort_desc=seq&{_LEAN}"]
        ),
        "jobs": Question(["/jobs"], ["/v1/jobs"], [f"/runledger/jobs?{_LEAN}"]),
    }


def _runs(query: str) -> str:
    return f"/runledger/runs?{query}&{_LEAN}"
