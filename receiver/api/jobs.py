"""The work that is under way."""

from __future__ import annotations

from receiver import access, endpoint, errors, shapes
from storage import causes, jobs, runs, transitions

Listing = endpoint.Call[shapes.JobQuery, None]
Grouping = endpoint.Call[shapes.CauseQuery, None]
Retrying = endpoint.Call[None, shapes.Retry]
Plain = endpoint.Call[None, None]


async def list_jobs(call: Listing) -> endpoint.Answer:
    """A page of jobs, newest first."""
    asked = call.query
    run_id = asked.run and await call.database.read(runs.own_id, asked.run)
    query = jobs.Query(asked.kind, run_id, asked.state, asked.limit, asked.cursor)
    found, cursor = await call.database.read(jobs.page, query, call.now)
    lines, unread = shapes.readable(found, shapes.Job.of)
    page = shapes.Jobs(jobs=lines, has_more=cursor is not None, next_cursor=cursor, unreadable=unread)
    return endpoint.Answer(200, page, call.link("cursor", cursor))


async def list_causes(call: Grouping) -> endpoint.Answer:
    """Failing and dead jobs by what stands in their way."""
    asked = causes.Query(call.query.kind, call.query.state, call.query.cause)
    return endpoint.Answer(200, shapes.Causes(causes=await _causes(call, asked)))


async def _causes(call: Grouping | Retrying, asked: causes.Query) -> list[shapes.Cause]:
    return [shapes.Cause.of(each) for each in await call.database.read(causes.grouped, asked, call.now)]


async def retry_jobs(call: Retrying) -> endpoint.Answer:
    """Makes every job that is meant due now, whatever its back-off; or only tells which."""
    asked = causes.Query(call.body.kind, call.body.state, call.body.cause)
    found, dry = await _causes(call, asked), call.body.dry_run
    count = sum(each.count for each in found)
    if not dry:
        count = await call.database.write(transitions.retry_all, asked, call.now)
    return endpoint.Answer(200 if dry else 202, shapes.Retried(causes=found, count=count, dry_run=dry))


async def retry_job(call: Plain) -> endpoint.Answer:
    """Makes a job due now, whatever its back-off."""
    await call.database.write(transitions.retry, [call.ids["id"]], call.now)
    found = await call.database.read(jobs.find, call.ids["id"], call.now)
    if found is None:
        raise errors.NotFound("there is no job of that id; a job that is done is gone")
    return endpoint.Answer(202, shapes.Job.of(found))


OPERATIONS = (
    endpoint.Operation(
        "GET",
        "/v1/jobs",
        "List jobs",
        list_jobs,
        {200: shapes.Jobs},
        access.Scope.READ,
        query=shapes.JobQuery,
        tag="jobs",
    ),
    endpoint.Operation(
        "GET",
        "/v1/jobs/causes",
        "Failing and dead jobs by cause",
        list_causes,
        {200: shapes.Causes},
        access.Scope.READ,
        query=shapes.CauseQuery,
        tag="jobs",
    ),
    endpoint.Operation(
        "POST",
        "/v1/jobs/retry",
        "Try failing and dead jobs again now",
        retry_jobs,
        {200: shapes.Retried, 202: shapes.Retried},
        access.Scope.ADMIN,
        body=shapes.Retry,
        tag="jobs",
    ),
    endpoint.Operation(
        "POST",
        "/v1/jobs/{id}/retry",
        "Try a job again now",
        retry_job,
        {202: shapes.Job},
        access.Scope.ADMIN,
        tag="jobs",
    ),
)
