"""Lists of runs, one run, its steps, its timeline, its document."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from storage import cursors, states
from storage.engine.database import Database
from storage.query import run_pages
from storage.repositories import deliveries
from storage.transitions import receiving
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def _mixed(database: Database) -> list[str]:
    """Make twelve runs, half without any measure, some with equal ones; return the ids as accepted."""
    made = []
    for place, (cost, duration) in enumerate([(0, 9), (5, 9), (5, 1), (None, 3), (7, None), (5, 9)]):
        taken = life.measures(cost_micros=cost, duration_ms=duration, created_at=life.at(place // 2))
        result = life.result(measures=taken, body=str(place).encode())
        made.append(await life.settled_run(database, result=result))
        made.append(await life.accepted(database))
    return [run.id for run in made]


async def _pages(deployment: Deployment, path: str, noun: str) -> list[dict[str, Any]]:
    """Return every row, page by page, by the Link headers alone."""
    found: list[dict[str, Any]] = []
    next_path: str | None = path
    while next_path is not None:
        response = await deployment.get(next_path)
        page = response.json()
        found += page[noun]
        link = response.headers.get("link")
        assert page["hasMore"] is (link is not None)
        next_path = None if link is None else link.removeprefix("<").removesuffix('>; rel="next"')
    return found


async def test_pages_in_any_order_have_no_gaps_and_no_repeats(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    ids = await _mixed(deployment.database)
    for sort in [sign + name for name in run_pages.SORTS for sign in ("", "-")]:
        with subtests.test(f"{sort!r:.60}"):
            found = await _pages(deployment, f"/v1/runs?sort={sort}&limit=2", "runs")
            assert sorted(run["id"] for run in found) == sorted(ids)
            # Tokens are ordered by their sum, and the output is the same in all.
            known = {"cost": "costMicros", "duration": "durationMs", "tokens": "inputTokens"}
            column = known.get(sort.lstrip("-"), f"{sort.lstrip('-')}At")
            # A run that was never created upstream is ordered by its acceptance.
            falls_back = column == "createdAt"
            values = [run[column] or (run["acceptedAt"] if falls_back else None) for run in found]
            _assert_ordered(values, is_descending=sort.startswith("-"))


def _assert_ordered(values: Sequence[Any], *, is_descending: bool) -> None:
    """Check the order: rows without a value are last descending, first ascending."""
    ascending = values[::-1] if is_descending else values
    nulls = list(itertools.takewhile(lambda value: value is None, ascending))
    rest = ascending[len(nulls) :]
    assert None not in rest
    assert list(rest) == sorted(rest)


async def test_the_newest_run_comes_first_unless_something_else_is_asked(deployment: Deployment) -> None:
    ids = await _mixed(deployment.database)
    page = (await deployment.get("/v1/runs")).json()
    assert [run["id"] for run in page["runs"]] == ids[::-1]
    assert (page["hasMore"], page["nextCursor"]) == (False, None)


async def test_a_run_that_comes_between_two_pages_disturbs_neither(deployment: Deployment) -> None:
    ids = await _mixed(deployment.database)
    first = (await deployment.get("/v1/runs?limit=6")).json()
    await life.accepted(deployment.database)
    second = (await deployment.get("/v1/runs", params={"limit": 6, "cursor": first["nextCursor"]})).json()
    assert [run["id"] for run in first["runs"] + second["runs"]] == ids[::-1]


async def test_the_link_to_the_next_page_keeps_what_was_asked(deployment: Deployment) -> None:
    for _ in range(2):
        await life.accepted(deployment.database, tags={"matter": "a&b=c"}, agent_id="a_1")
    response = await deployment.get("/v1/runs?limit=1&agent=a_1&tag.matter=a%26b%3Dc")
    cursor = response.json()["nextCursor"]
    assert (
        response.headers["link"]
        == f'</v1/runs?limit=1&agent=a_1&tag.matter=a%26b%3Dc&cursor={cursor}>; rel="next"'
    )


async def test_a_cursor_belongs_to_its_order(deployment: Deployment) -> None:
    await _mixed(deployment.database)
    cursor = (await deployment.get("/v1/runs?limit=1&sort=cost")).json()["nextCursor"]
    answer = problem(await deployment.get(f"/v1/runs?sort=-cost&cursor={cursor}"), 400)
    assert answer["parameter"] == "cursor"


async def test_a_cursor_that_is_not_ours_is_a_problem_of_that_parameter(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for cursor in ["", "x", "%00", "W10", "bnVsbA", "é", "9" * 1000]:
        with subtests.test(f"{cursor!r:.60}"):
            for path in ("/v1/runs", "/v1/deliveries", "/v1/jobs"):
                assert problem(await deployment.get(f"{path}?cursor={cursor}"), 400)["parameter"] == "cursor"


async def _chosen(deployment: Deployment, query: str) -> list[str]:
    page = (await deployment.get(f"/v1/runs?{query}&sort=accepted")).json()
    return [run["prompt"] for run in page["runs"]]


async def test_filters_choose_the_runs_that_they_name(deployment: Deployment, subtests: pytest.Subtests) -> None:
    tags = {"case": "7", "team": "x"}
    await life.settled_run(deployment.database, prompt="a", model="m-1", tags=tags)
    cheap = life.measures(cost_micros=1000, duration_ms=500)
    failed = life.result(states.FAILED, measures=cheap)
    await life.settled_run(deployment.database, prompt="b", agent_id="agent_2", tags={"case": "8"}, result=failed)
    await life.accepted(deployment.database, prompt="c", agent_id="agent_3")
    for query, found in [
        ("status=completed", "a"),
        ("status=completed,failed", "ab"),
        ("status=lost", ""),
        ("agent=agent_2", "b"),
        ("agent=agent_2,agent_3", "bc"),
        ("model=m-1", "a"),
        ("origin=submitted", "abc"),
        ("origin=adopted", ""),
        ("settled_by=watcher", "ab"),
        ("settled_by=sweep,request", ""),
        ("tag.case=7", "a"),
        ("tag.case=7&tag.team=x", "a"),
        ("tag.case=8", "b"),
        ("created=2026-11-23", "abc"),
        ("created=%3E-1h", "abc"),
        ("settled=%3E2026-11-23T12:00:30Z", "ab"),
        ("settled=..2026-11-23T12:00:30Z", ""),
        ("cost=%3E0.002", "a"),
        ("cost=0.001..0.002", "b"),
        ("cost=%240.003", "a"),
        ("duration=1m", "a"),
        ("duration=%3C1m", "b"),
        ("status=completed&agent=agent_2", ""),
    ]:
        with subtests.test(f"{query!r:.60}"):
            deployment.clock.tick(120)
            assert await _chosen(deployment, query) == list(found)


async def test_a_parameter_that_cannot_be_read_is_named(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for query, parameter in [
        ("status=finished", "status"),
        ("status=", "status"),
        ("status=completed,,failed", "status"),
        ("agent=", "agent"),
        ("agent=%00", "agent"),
        ("origin=theirs", "origin"),
        ("settled_by=me", "settled_by"),
        ("tag.=x", "tag."),
        ("tag.a%20b=x", "tag.a b"),
        ("tag.a=" + "x" * 257, "tag.a"),
        ("created=yesterday", "created"),
        ("created=99999-01-01", "created"),
        ("created=9999-12-31T23:59:59-23:59", "created"),
        ("created=-99999999999d", "created"),
        ("settled=", "settled"),
        ("cost=cheap", "cost"),
        ("cost=NaN", "cost"),
        ("cost=1e400", "cost"),
        ("duration=2weeks", "duration"),
        ("sort=prompt", "sort"),
        ("sort=--cost", "sort"),
        ("limit=0", "limit"),
        ("limit=251", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("agent=%FF", "query"),
        ("&".join(f"tag.k{n}=v" for n in range(101)), "query"),
        ("&".join(f"tag.k{n}=v" for n in range(21)), "tag.<key>"),
    ]:
        with subtests.test(f"{query!r:.60}"):
            assert problem(await deployment.get(f"/v1/runs?{query}"), 400)["parameter"] == parameter


async def test_an_unknown_parameter_is_answered_with_the_likely_one(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for query, meant in [
        ("stauts=completed", "status"),
        ("settledBy=watcher", "settled_by"),
        ("Limit=5", "limit"),
        ("tag=x", "tag."),
    ]:
        with subtests.test(f"{query!r:.60}"):
            answer = problem(await deployment.get(f"/v1/runs?{query}"), 400)
            assert answer["didYouMean"] == meant
            assert meant in answer["detail"]


async def test_an_unknown_parameter_like_no_other_is_just_unknown(deployment: Deployment) -> None:
    assert "didYouMean" not in problem(await deployment.get("/v1/runs?zzz=1"), 400)


async def test_an_operation_without_parameters_takes_none(deployment: Deployment) -> None:
    run = await life.accepted(deployment.database)
    assert problem(await deployment.get(f"/v1/runs/{run.id}?verbose=1"), 400)["parameter"] == "verbose"


async def test_a_list_cuts_prompts_and_the_run_itself_does_not(deployment: Deployment) -> None:
    run = await life.accepted(deployment.database, prompt="é" * 500)
    line = (await deployment.get("/v1/runs")).json()["runs"][0]
    assert line["prompt"] == "é" * 200
    assert "output" not in line
    assert (await deployment.get(f"/v1/runs/{run.id}")).json()["prompt"] == "é" * 500


async def test_a_run_is_found_by_our_id_and_by_the_upstreams(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database, upstream_id="run_up")
    ours, theirs = await deployment.get(f"/v1/runs/{run.id}"), await deployment.get("/v1/runs/run_up")
    assert ours.json() == theirs.json()
    assert (ours.json()["costMicros"], ours.json()["settledBy"]) == (3000, "watcher")


async def test_what_belongs_to_an_unknown_run_is_not_found(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for tail in ["", "/steps", "/timeline", "/document"]:
        with subtests.test(f"{tail!r:.60}"):
            problem(await deployment.get(f"/v1/runs/run_nobody{tail}"), 404)


async def test_a_path_trick_in_an_id_finds_nothing(deployment: Deployment, subtests: pytest.Subtests) -> None:
    await life.accepted(deployment.database)
    for path in [
        "..",
        "%2e%2e",
        "..%2f..%2fetc",
        "a%00b",
        "a%0A",
        "a b",
        "%C3%A9",
        "a" * 129,
        "a;b",
        "a.b",
        "%25",
        "a%2Fb",
    ]:
        with subtests.test(f"{path!r:.60}"):
            response = await deployment.get(f"/v1/runs/x{path}/steps")
            problem(response, 404)


async def test_steps_come_in_pages_in_their_order(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database, result=life.result(steps=life.steps(7)))
    found = await _pages(deployment, f"/v1/runs/{run.id}/steps?limit=3", "steps")
    assert [step["position"] for step in found] == list(range(7))
    assert (found[0]["toolName"], found[0]["toolInput"]) == ("search", {"q": "lease"})
    assert "salt" not in found[0]


async def test_steps_of_one_run_are_never_those_of_the_next(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    await life.settled_run(deployment.database)
    for seq in (65535, 65536, 2**62):
        cursor = cursors.Cursor("position", None, seq)
        response = await deployment.get(f"/v1/runs/{run.id}/steps?cursor={cursor}")
        assert response.status_code == 400 or response.json()["steps"] == []


async def test_the_document_comes_byte_for_byte(deployment: Deployment) -> None:
    body = b'{"status": "completed",\n "odd": "\\u0000 \xff"}'
    run = await life.settled_run(deployment.database, result=life.result(body=body))
    response = await deployment.get(f"/v1/runs/{run.id}/document")
    assert response.content == body
    assert response.headers["content-type"] == "application/json"
    assert response.headers["etag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"] == f'inline; filename="run-{run.id}-v1.json"'


async def test_a_document_that_is_held_is_not_sent_again(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    run = await life.settled_run(deployment.database)
    path = f"/v1/runs/{run.id}/document"
    etag = (await deployment.get(path)).headers["etag"]
    for condition, status in [("{}", 304), ("W/{}", 304), ('"x", {}', 304), ("*", 304), ('"x"', 200)]:
        with subtests.test(f"{condition!r:.60}"):
            response = await deployment.get(path, headers={"if-none-match": condition.format(etag)})
            assert response.status_code == status
            assert (response.content == b"") is (status == 304)
            assert response.headers["etag"] == etag


async def test_each_version_of_a_document_stays(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database, result=life.result(body=b"1"))
    await life.settle(deployment.database, run, life.result(body=b"22"))
    path = f"/v1/runs/{run.id}/document"
    assert [(await deployment.get(path + query)).content for query in ("", "?version=1", "?version=2")] == [
        b"22",
        b"1",
        b"22",
    ]
    problem(await deployment.get(f"{path}?version=3"), 404)
    problem(await deployment.get(f"{path}?version=0"), 400)


async def test_a_run_that_has_not_ended_has_no_document(deployment: Deployment) -> None:
    run = await life.running(deployment.database)
    problem(await deployment.get(f"/v1/runs/{run.id}/document"), 404)


async def test_a_timeline_lists_all_that_happened_in_order(deployment: Deployment) -> None:
    run = await life.running(deployment.database, "run_up")
    callback = life.delivery(run_id=run.id, received_at=life.at(60))
    for received in (callback, life.delivery(run_id=run.id, received_at=life.at(61))):
        await deployment.database.write(receiving.accept_delivery, received)
    await life.settle(deployment.database, run, life.result())
    timeline = (await deployment.get("/v1/runs/run_up/timeline")).json()["timeline"]
    assert [entry["kind"] for entry in timeline] == [
        "run.accepted",
        "run.created",
        "run.started",
        "delivery.accepted",
        "delivery.duplicate",
        "run.completed",
    ]
    assert timeline[3]["delivery"]["id"] == callback.id
    assert timeline[0]["actor"] == "key:backend"


async def test_a_timeline_shows_what_came_before_the_run_was_known(deployment: Deployment) -> None:
    early = life.event("run_up", received_at=life.at(0.5))
    await deployment.database.write(receiving.accept_delivery, early)
    run = await life.running(deployment.database, "run_up")
    found, _ = await deployment.database.read(deliveries.page, deliveries.Query(run_id=run.id))
    assert [each.id for each in found] == [early.id]
    timeline = (await deployment.get(f"/v1/runs/{run.id}/timeline")).json()["timeline"]
    assert [entry["delivery"]["id"] for entry in timeline if entry["delivery"]] == [early.id]
