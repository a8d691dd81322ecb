"""The page of jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage import states
from storage.repositories import job_list, jobs, system_state
from tests import life
from tests.receiver.pages.browsing import Browser, seen

pytestmark = pytest.mark.anyio
PLANTED = "<img src=x onerror=alert(1)>"


async def failing(browser: Browser, error: str, count: int) -> None:
    """Have so many settle jobs fail with an error."""
    for _ in range(count):
        run = await life.running(browser.database, life.nonce("run"))
        await browser.database.write(
            jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, run.id, life.NOW, states.Source.REQUEST)]
        )
        claim = await life.claimed(browser.database, states.Kind.SETTLE, run.id)
        later = life.NOW + timedelta(hours=1)
        await browser.database.write(jobs.fail, claim, later, error=error, now=life.NOW)


async def test_a_cause_is_shown_with_its_jobs_and_retried_after_a_question(browser: Browser) -> None:
    await failing(browser, f"503 busy {PLANTED}", 2)
    await browser.sign_in("admin")
    page = (await browser.get("/jobs")).text
    assert "Retry all 2" in page
    assert PLANTED not in page
    assert "Retry 2 jobs?" in await browser.text("/jobs/retry?kind=settle&state=failing&cause=503 busy")
    done = await browser.post("/jobs/retry", kind="settle", state="failing", cause="503 busy")
    assert "2 jobs are due now." in (await browser.get(done.headers["location"])).text
    found, _ = await browser.database.read(job_list.page, job_list.Query(states.Kind.SETTLE), life.NOW)
    assert {each.due_at for each in found} == {browser.deployment.clock.now}


async def test_only_an_admin_retries(browser: Browser) -> None:
    await failing(browser, "503 busy", 1)
    await browser.sign_in()
    assert "Retry" not in await browser.text("/jobs?state=failing")
    await browser.get("/jobs/retry", 403)
    await browser.post("/jobs/retry", 403)
    await browser.post("/jobs/nothing/retry", 403)


async def test_a_pause_and_a_missing_worker_are_said_first(browser: Browser) -> None:
    await browser.sign_in()
    assert "No worker was seen yet" in await browser.text("/jobs")
    await browser.database.write(system_state.record_heartbeat, life.NOW)
    until = life.NOW + timedelta(minutes=3)
    await browser.database.write(system_state.pause, until, "429 from upstream.", life.NOW)
    page = await browser.text("/jobs")
    assert "The upstream is not asked until" in page
    assert "429 from upstream. This is pause 1 in a row" in page
    assert "No worker" not in page
    assert "Nothing is to be done" in page


async def test_a_part_answers_htmx_alone_and_a_bad_filter_is_named(browser: Browser) -> None:
    await browser.sign_in()
    part = await browser.client.get("/jobs?kind=settle", headers={"hx-request": "true"})
    assert part.text.lstrip().startswith('<div id="jobs"')
    assert "No job matches" in part.text
    await browser.get("/jobs?state=odd", 400)


async def test_each_worker_is_listed_with_its_heartbeat_and_the_jobs_that_it_holds(browser: Browser) -> None:
    await browser.sign_in()
    for name, seconds in (("old-machine/7", 0), ("new-machine/8", 60)):
        worker = system_state.Worker(name[:3], name, "0.0.9", life.NOW)
        await browser.database.write(system_state.record_worker, worker, life.at(seconds))
    await life.accepted(browser.database)
    await browser.database.write(jobs.claim, owner="new", now=life.at(60), until=life.at(90), limit=9)
    browser.deployment.clock.now = life.at(61)
    page = (await browser.get("/jobs")).text
    rows = {name: seen(page.partition(f'id="worker-{name}"')[2].partition("</tr>")[0]) for name in ("old", "new")}
    assert "gone 1m 01s ago 0.0.9" in rows["old"]
    assert "at work just now 0.0.9" in rows["new"]
    assert rows["new"].endswith("1 in 29s")
