"""The jobs: work that is due, under way, failing or dead."""

from __future__ import annotations

from receiver import errors
from receiver.schemas import bodies, json_rows, query_parameters, responses
from receiver.web import operations
from receiver.web.authentication import Scope
from storage.engine import database
from storage.engine.database import Reader
from storage.repositories import job_errors, job_list, runs
from storage.transitions import retrying

Listing = operations.Call[query_parameters.JobQuery, None]
Grouping = operations.Call[query_parameters.CauseQuery, None]
Retrying = operations.Call[None, bodies.Retry]
Plain = operations.Call[None, None]

router = operations.Router("jobs")


@router.operation("GET", "/v1/jobs", "List jobs", {200: responses.Jobs}, Scope.READ, reader=Reader.PLAIN)
def list_jobs(call: Listing, store: database.Snapshot) -> operations.Answer:
    """Answer with a page of jobs, newest first."""
    parameters = call.query
    run_id = parameters.run and store.read(runs.resolve_id, parameters.run)
    query = job_list.Query(parameters.kind, run_id, parameters.state, parameters.limit, parameters.cursor)
    found, cursor = store.read(job_list.page, query, call.now)
    page = JOBS.page("jobs", list(map(values, found)), cursor)
    return operations.Answer(200, page, call.link("cursor", cursor))


@router.operation(
    "GET", "/v1/jobs/causes", "Group failing and dead jobs by cause", {200: responses.Causes}, Scope.READ
)
async def list_causes(call: Grouping) -> operations.Answer:
    """Answer with failing and dead jobs, grouped by the cause of their failure."""
    query = job_errors.Query(call.query.kind, call.query.state, call.query.cause)
    return operations.Answer(200, responses.Causes(causes=await _causes(call, query)))


async def _causes(call: Grouping | Retrying, query: job_errors.Query) -> list[responses.Cause]:
    return [responses.Cause.of(each) for each in await call.database.read(job_errors.group, query, call.now)]


@router.operation(
    "POST",
    "/v1/jobs/retry",
    "Retry failing and dead jobs now",
    {200: responses.Retried, 202: responses.Retried},
    Scope.ADMIN,
)
async def retry_jobs(call: Retrying) -> operations.Answer:
    """Make every matching job due now, whatever its back-off; a dry run only reports which jobs match."""
    query = job_errors.Query(call.body.kind, call.body.state, call.body.cause)
    found, dry = await _causes(call, query), call.body.dry_run
    count = sum(each.count for each in found)
    if not dry:
        count = await call.database.write(retrying.retry_matching, query, call.now)
    return operations.Answer(200 if dry else 202, responses.Retried(causes=found, count=count, dry_run=dry))


@router.operation("POST", "/v1/jobs/{id}/retry", "Retry a job now", {202: responses.Job}, Scope.ADMIN)
async def retry_job(call: Plain) -> operations.Answer:
    """Make a job due now, whatever its back-off."""
    await call.database.write(retrying.retry, [call.ids["id"]], call.now)
    found = await call.database.read(job_list.find, call.ids["id"], call.now)
    if found is None:
        raise errors.NotFound("there is no job with that id; a job that is done is gone")
    with call.building(found.id):
        return operations.Answer(202, bytes(JOBS.one(values(found))))


def values(job: job_list.Job) -> json_rows.Values:
    """Return the values of a job's object. A deployment-wide job is stored with an empty run."""
    return JOBS.values(job, run_id=job.run_id or None)


JOBS = json_rows.JsonRows(responses.Job)
