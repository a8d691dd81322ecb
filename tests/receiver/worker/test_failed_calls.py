"""What a task does after a call that fails: the failure may concern one run, all runs, or prove nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.worker.tasks import backfill, failures, registry
from storage import ids, states
from storage.engine.database import Database
from storage.repositories import job_list, jobs, runs, system_state, upstream_links
from storage.states import Kind
from storage.transitions import adopting, starting, submitting
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio

Answer = int | dict[str, Any] | httpx.Response
EMPTY: Answer = {"runs": [], "hasMore": False}


class Upstream:
    """An upstream: each route, named by the end of its path, has a status or a body. `run` is create."""

    def __init__(self, **answers: Answer) -> None:
        self.answers: dict[str, Answer] = {"list": EMPTY} | answers
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        route = "list" if request.method == "GET" and request.url.path.endswith("/run") else request.url.path
        route = route.rpartition("/")[2]
        self.asked.append(route)
        found = self.answers.get(route, 404)
        if isinstance(found, int):
            return httpx.Response(found, json={"error": "no"})
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)


async def work(
    database: Database, upstream: Upstream, kind: Kind, run_id: str = "", second: float = 60, **changes: Any
) -> None:
    """Carry out the job of that kind and run at `second`."""
    claim = await life.claimed(database, kind, run_id, life.at(second))
    async with upstreams.answering(database, upstream, now=lambda: life.at(second)) as context:
        await registry.run(replace(context, **changes), claim)


def shown(run: runs.Run, status: str) -> dict[str, Any]:
    return {"id": run.upstream_id, "status": status}


async def to_cancel(database: Database) -> runs.Run:
    """Return a running run with the job that cancels it upstream."""
    run = await life.running(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.at(50))
    return run


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_a_cancel_that_comes_too_late_leaves_the_end_to_the_settle(database: Database, status: int) -> None:
    run = await to_cancel(database)
    await work(database, Upstream(cancel=status, status=shown(run, "completed")), Kind.CANCEL, run.id)
    assert await life.open_jobs(database, run.id) == ["settle"]


@pytest.mark.parametrize("shows", ["queued", "running"])
async def test_a_cancel_that_is_rejected_stays_open_while_the_run_lives(database: Database, shows: str) -> None:
    run = await to_cancel(database)
    with pytest.raises(errors.UpstreamStatusError, match="409"):
        await work(database, Upstream(cancel=409, status=shown(run, shows)), Kind.CANCEL, run.id)
    assert await life.open_jobs(database, run.id) == ["cancel"]


async def test_a_cancel_that_fails_proves_nothing_about_the_run(database: Database) -> None:
    run, upstream = await to_cancel(database), Upstream(cancel=500)
    with pytest.raises(errors.UpstreamStatusError, match="500"):
        await work(database, upstream, Kind.CANCEL, run.id)
    assert upstream.asked == ["cancel"]


async def test_a_live_run_that_the_upstream_cannot_find_is_still_to_be_cancelled(database: Database) -> None:
    run = await to_cancel(database)
    with pytest.raises(errors.UpstreamStatusError, match="404"):
        await work(database, Upstream(cancel=404, status=404), Kind.CANCEL, run.id)
    assert await life.open_jobs(database, run.id) == ["cancel"]


async def test_an_orphan_that_is_gone_upstream_needs_no_cancel(database: Database) -> None:
    run = await life.settled_run(database)
    await database.write(starting.record_orphan, run.id, "run_2", life.at(50))
    upstream = Upstream(cancel=404)
    await work(database, upstream, Kind.ORPHAN, run.id)
    assert (upstream.asked, await life.open_jobs(database, run.id)) == (["cancel"], [])
    assert await database.read(upstream_links.open_orphans, run.id) == []


async def test_an_orphan_that_still_lives_is_asked_to_end_again(database: Database) -> None:
    run = await life.settled_run(database)
    await database.write(starting.record_orphan, run.id, "run_2", life.at(50))
    upstream = Upstream(cancel=409, status={"id": "run_2", "status": "running"})
    with pytest.raises(errors.UpstreamStatusError, match="409"):
        await work(database, upstream, Kind.ORPHAN, run.id)
    assert list(await database.read(upstream_links.open_orphans, run.id)) == ["run_2"]


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_a_create_is_sent_once_for_any_answer_but_400(database: Database, status: int) -> None:
    run, upstream = await life.accepted(database), Upstream(run=status, list=503)
    with pytest.raises(errors.UpstreamError):
        await work(
            database, upstream, Kind.START, run.id, callback_url=lambda _: "https://ledger.test/callbacks/t"
        )
    assert upstream.asked.count("run") == 1
    assert (await life.get_run(database, run.id)).status is states.ACCEPTED


@pytest.mark.parametrize("status", [401, 402, 429])
async def test_after_an_answer_to_exec_that_concerns_all_runs_nothing_more_is_asked(
    database: Database, status: int
) -> None:
    run, upstream = await life.queued(database), Upstream(exec=status)
    upstream.answers["status"] = shown(run, "queued")
    with pytest.raises(errors.UpstreamStatusError, match=str(status)):
        await work(database, upstream, Kind.START, run.id)
    assert upstream.asked == ["status", "exec"]


async def test_a_no_to_exec_counts_for_nothing_while_the_list_is_away(database: Database) -> None:
    run = await life.queued(database)
    upstream = Upstream(exec=400, status=shown(run, "queued"), list=503)
    with pytest.raises(errors.UpstreamStatusError, match="503"):
        await work(database, upstream, Kind.START, run.id)
    (job,), _ = await database.read(job_list.page, job_list.Query(Kind.START), life.at(60))
    assert job.refusals == 0


async def test_a_404_of_the_details_proves_nothing_while_the_list_is_away(database: Database) -> None:
    run = await life.running(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(60))])
    with pytest.raises(errors.UpstreamStatusError, match="503"):
        await work(database, Upstream(list=503), Kind.SETTLE, run.id)
    assert (await life.get_run(database, run.id)).missing_since is None


async def test_a_run_without_an_upstream_id_is_not_asked_about(database: Database) -> None:
    run, upstream = await life.accepted(database), Upstream()
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(60))])
    await work(database, upstream, Kind.SETTLE, run.id)
    assert (upstream.asked, await life.open_jobs(database, run.id)) == ([], ["settle", "start"])


async def test_a_create_that_is_refused_while_the_list_answers_ends_the_submission(database: Database) -> None:
    run, upstream = await life.accepted(database), Upstream(run=404)
    await work(database, upstream, Kind.START, run.id)
    assert (await life.get_run(database, run.id)).status is states.REFUSED
    assert (upstream.asked, await life.open_jobs(database, run.id)) == (["run", "list"], [])


async def test_the_only_run_there_is_is_never_lost(database: Database) -> None:
    run = await life.running(database)
    for second in (100.0, 200_000.0):
        await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(second))])
        await work(database, Upstream(), Kind.SETTLE, run.id, second)
    assert (await life.get_run(database, run.id)).status is states.RUNNING


async def test_what_a_long_run_lacked_is_fetched_again_by_the_age_of_its_end(database: Database) -> None:
    run, lacks = await life.running(database), life.result(measures=life.measures(cost_micros=None))
    await life.settle(database, run, lacks, life.at(3000))
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(3001))])
    upstream = Upstream()
    await work(database, upstream, Kind.SETTLE, run.id, 3001)
    (job,), _ = await database.read(job_list.page, job_list.Query(Kind.SETTLE, run.id), life.at(3001))
    assert (upstream.asked, job.due_at) == ([], life.at(3060))


async def test_what_was_fetched_again_is_not_fetched_before_its_next_age(database: Database) -> None:
    run, lacks = await life.running(database), life.result(measures=life.measures(cost_micros=None))
    await life.settle(database, run, lacks, life.at(100))
    for second, asked in ((161, ["details"]), (170, [])):
        await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(second))])
        upstream = Upstream(details=shown(run, "completed"))
        await work(database, upstream, Kind.SETTLE, run.id, second)
        assert upstream.asked == asked


@pytest.mark.parametrize(("lacks", "due_at"), [(False, None), (True, life.at(160))])
async def test_after_a_conflict_only_a_run_that_lacks_something_is_fetched_again(
    database: Database, lacks: bool, due_at: object
) -> None:
    run, taken = await life.running(database), life.measures(**{"output": None} if lacks else {})
    await life.settle(database, run, life.result(measures=taken), life.at(100))
    await database.write(submitting.request_refresh, run.id, life.at(110))
    await work(database, Upstream(details=shown(run, "running")), Kind.SETTLE, run.id, 110)
    left, _ = await database.read(job_list.page, job_list.Query(Kind.SETTLE, run.id), life.at(110))
    assert next((job.due_at for job in left), None) == due_at
    assert (await life.get_run(database, run.id)).status is states.COMPLETED
    assert (await life.ledger_kinds(database, run.id))[-1] == "run.conflict"


async def adopted(database: Database) -> runs.Run:
    adoption = adopting.Adoption(
        ids.new(life.NOW), "run_1", "backend", states.Source.REQUEST, life.NOW, life.at(3600)
    )
    return (await database.write(adopting.adopt, adoption))[0]


@pytest.mark.parametrize("status", ["running", "completed"])
async def test_an_adopted_run_takes_over_the_details(database: Database, status: str) -> None:
    run, asked = await adopted(database), {"agentId": "agent_1", "prompt": "p", "guidance": "g", "model": "m-1"}
    await work(database, Upstream(details={"id": "run_1", "status": status, **asked}), Kind.ADOPT, run.id)
    found = await life.get_run(database, run.id)
    assert [found.agent_id, found.prompt, found.guidance, found.model] == list(asked.values())


@pytest.mark.parametrize(("result", "due_at"), [({}, [life.at(120)]), ({"output": "Void."}, [])])
async def test_an_adopted_run_that_had_ended_is_fetched_again_where_something_was_missing(
    database: Database, result: dict[str, str], due_at: list[object]
) -> None:
    run, cost = await adopted(database), {"summary": {"costMicros": 5}}
    ended = {"id": "run_1", "status": "completed", "result": result, "usage": cost}
    await work(database, Upstream(details=ended), Kind.ADOPT, run.id)
    left, _ = await database.read(job_list.page, job_list.Query(run_id=run.id), life.at(60))
    assert [job.due_at for job in left] == due_at


async def test_an_adoption_counts_no_404_while_the_list_is_away(database: Database) -> None:
    run = await adopted(database)
    with pytest.raises(errors.UpstreamStatusError, match="503"):
        await work(database, Upstream(list=503), Kind.ADOPT, run.id)
    (job,), _ = await database.read(job_list.page, job_list.Query(Kind.ADOPT), life.at(60))
    assert job.refusals == 0


async def test_details_that_fail_refuse_no_adoption(database: Database) -> None:
    run = await adopted(database)
    with pytest.raises(errors.UpstreamStatusError, match="500"):
        await work(database, Upstream(details=500), Kind.ADOPT, run.id)
    assert (await life.get_run(database, run.id)).status is states.ACCEPTED


@pytest.mark.parametrize(("status", "watched"), [(422, False), (500, None)])
async def test_a_refused_watcher_ends_the_job_and_a_failed_one_is_tried_again(
    database: Database, status: int, watched: bool | None
) -> None:
    run = await adopted(database)
    upstream = Upstream(details={"id": "run_1", "status": "running", "prompt": "p"}, watch=status)
    call = work(database, upstream, Kind.ADOPT, run.id, callback_url=lambda _: "https://ledger.test/callbacks/t")
    if watched is None:
        with pytest.raises(errors.UpstreamStatusError, match="500"):
            await call
    else:
        await call
    assert await life.open_jobs(database, run.id) == (["adopt"] if watched is None else [])


async def test_a_watched_run_that_cannot_be_asked_about_is_fetched(database: Database) -> None:
    """It may have ended before its watcher was registered, so no callback would come."""
    run = await adopted(database)
    upstream = Upstream(details={"id": "run_1", "status": "running", "prompt": "p"}, watch={}, status=500)
    await work(database, upstream, Kind.ADOPT, run.id, callback_url=lambda _: "https://ledger.test/callbacks/t")
    assert await life.open_jobs(database, run.id) == ["settle"]


async def test_a_sweep_without_open_runs_asks_whether_the_pause_can_end(database: Database) -> None:
    await database.write(system_state.pause, life.at(10), "503", life.NOW)
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SWEEP, "", life.NOW)])
    upstream = Upstream()
    await work(database, upstream, Kind.SWEEP)
    assert upstream.asked == ["list"]


async def failed(database: Database, run: runs.Run, upstream: Upstream) -> tuple[job_list.Job, system_state.State]:
    """Return the start job and the state of the deployment after a call of that job failed, at second 60."""
    claim = await life.claimed(database, Kind.START, run.id, life.at(60))
    async with upstreams.answering(database, upstream, now=lambda: life.at(60)) as context:
        with pytest.raises(errors.UpstreamError) as caught:
            await registry.run(context, claim)
        await failures.handle_failure(context, claim, caught.value)
    (job,), _ = await database.read(job_list.page, job_list.Query(Kind.START), life.at(60))
    return job, await database.read(system_state.read)


async def test_a_rate_limit_pauses_all_jobs_for_the_time_it_names(database: Database) -> None:
    run = await life.queued(database)
    limit = httpx.Response(429, headers={"retry-after": "120"}, json={})
    job, state = await failed(database, run, Upstream(status=limit))
    assert (job.due_at, state.paused_until) == (life.at(180), life.at(180))
    assert (await life.claimed(database, Kind.START, run.id, life.at(180))).failures == 0


async def test_a_failure_of_one_run_pauses_no_other(database: Database) -> None:
    run = await life.queued(database)
    busy = httpx.Response(503, headers={"retry-after": "300"}, json={})
    job, state = await failed(database, run, Upstream(status=busy))
    assert (job.due_at, state.paused_until) == (life.at(360), None)
    assert (await life.claimed(database, Kind.START, run.id, life.at(360))).failures == 1


async def test_a_failure_of_one_run_shows_that_a_pause_before_it_is_over(database: Database) -> None:
    run = await life.queued(database)
    await database.write(system_state.pause, life.at(50), "502", life.at(10))
    claim = await life.claimed(database, Kind.START, run.id, life.at(60))
    async with upstreams.answering(database, Upstream(), now=lambda: life.at(60)) as context:
        context.telemetry.called("list", 200, 0.1, {}, life.at(60))
        await failures.handle_failure(context, claim, errors.UpstreamUnreachable("status", "no answer"))
    assert (await database.read(system_state.read)).pause_streak == 0


async def test_a_failure_that_the_list_shares_counts_for_no_run(database: Database) -> None:
    run = await life.queued(database)
    job, state = await failed(database, run, Upstream(status=500, list=502))
    assert state.paused_until is not None
    assert job.due_at == state.paused_until > life.at(60)
    assert (await life.claimed(database, Kind.START, run.id, job.due_at)).failures == 0


async def test_the_entry_of_an_end_has_a_digest_of_each_text_that_the_details_hold(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(60))])
    result = {"output": "Void.", "finalResponse": {"summary": "It is void."}}
    await work(database, Upstream(details=shown(run, "completed") | {"result": result}), Kind.SETTLE, run.id)
    entry = json.loads((await life.entries(database, run.id))[-1].body)
    assert set(entry["digests"]) == {"output", "summary", "document"}


async def test_a_defect_while_an_adoption_is_released_does_not_make_it_due_at_once(database: Database) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/details"):
            return httpx.Response(500)
        raise RuntimeError("a defect")

    by, at = states.Submitter.BACKFILL, life.NOW
    adoption = adopting.Adoption(ids.new(at), "run_1", by, states.Source.SWEEP, at, expected_by=None)
    run, _ = await database.write(adopting.adopt, adoption)
    async with upstreams.answering(database, answer, now=lambda: life.at(60)) as context:
        assert await backfill.run_adoptions(context, "command", 1)
    (job,), _ = await database.read(job_list.page, job_list.Query(run_id=run.id), life.at(60))
    assert (job.last_error, job.due_at > life.at(60)) == ("RuntimeError: a defect", True)
