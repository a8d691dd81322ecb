"""Jobs: those due, leased, failing and dead, their causes, and retrying them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from starlette.responses import Response

from receiver import errors
from receiver.pages import requests
from receiver.schemas import query_parameters
from receiver.web import request_parsing
from receiver.web.authentication import Scope
from storage import states
from storage.engine.database import Snapshot
from storage.repositories import job_errors, job_list, system_state, upstream_links
from storage.transitions import retrying

router = requests.Router()
#: Rows of a page, and causes that are shown.
ROWS, CAUSES = 50, 30
#: The newest failing and dead jobs whose causes are shown.
NEWEST = 2_000
_NAMES = ("kind", "state", "run")
_CHOSEN = ("kind", "state", "cause")


@dataclass(frozen=True, slots=True)
class _Found:
    """All that the page shows."""

    groups: Sequence[job_list.Group]
    causes: Sequence[job_errors.Cause]
    leases: Sequence[job_list.Leases]
    workers: Sequence[system_state.SeenWorker]
    system: system_state.State
    rows: Sequence[job_list.Job]
    cursor: str | None

    def count(self, state: states.JobState, kind: states.Kind | None = None) -> int:
        """Return how many jobs are in a state, of a kind where one is given."""
        return sum(each.count for each in self.groups if each.state is state and kind in (None, each.kind))

    @property
    def total(self) -> int:
        return sum(each.count for each in self.groups)

    @property
    def kinds(self) -> list[states.Kind]:
        return list(dict.fromkeys(each.kind for each in self.groups))

    def leases_of(self, worker: str) -> job_list.Leases | None:
        """Return the jobs that a worker has leased."""
        return next((each for each in self.leases if each.owner == worker), None)

    @property
    def other_leases(self) -> list[job_list.Leases]:
        """Return the leases of owners that are no listed worker: a command, or a worker of an earlier release."""
        known = {each.id for each in self.workers}
        return [each for each in self.leases if each.owner not in known]

    def oldest_due(self, kind: states.Kind | None = None) -> datetime | None:
        """Return since when the first job waits for a worker; None where none does."""
        waiting = (states.JobState.DUE, states.JobState.FAILING)
        due = [each.due_at for each in self.groups if each.state in waiting and kind in (None, each.kind)]
        return min(due, default=None)


@router.page("GET", "/jobs", Scope.READ)
async def show_list(given: requests.PageRequest) -> Response:
    """Show the jobs by kind, state and cause, and a page of the chosen ones."""
    named, query = _query(given)

    def load(store: Snapshot) -> _Found:
        known = store.read(upstream_links.find_named, [query.run_id]) if query.run_id else {}
        run_id = known[query.run_id].id if query.run_id in known else query.run_id
        chosen = job_list.Query(query.kind, run_id, query.state, ROWS, query.cursor)
        rows, cursor = store.read(job_list.page, chosen, given.now)
        causes = store.read(job_errors.group, job_errors.Query(), given.now, NEWEST)
        groups, leases = store.read(job_list.groups, given.now), store.read(job_list.leases, given.now)
        workers, system = store.read(system_state.workers), store.read(system_state.read)
        return _Found(groups, causes, leases, workers, system, rows, cursor)

    found = await given.read(load)
    absent = timedelta(seconds=given.context.api.timing.worker_gone_after)
    seen = found.system.worker_seen_at
    values = {
        "found": found,
        "given": named,
        "query": query,
        "states": states.JobState,
        "kinds": states.Kind,
        "most_causes": CAUSES,
        "newest": NEWEST,
        "has_worker": seen is not None and given.now - seen <= absent,
        "absent": absent,
        "version": given.context.api.version,
    }
    if given.is_partial:
        return given.partial("jobs.html", "jobs", **values)
    return given.page("jobs.html", **values)


def _query(given: requests.PageRequest) -> tuple[Mapping[str, str], job_list.Query]:
    """Return the filter of the address, as spelled and as a query. Raises BadParameter."""
    named = {name: value for name in _NAMES if (value := given.parameter(name).strip())}
    pairs = [*named.items(), *(("cursor", value) for value in [given.parameter("cursor")] if value)]
    checked = cast(query_parameters.JobQuery, request_parsing.query(query_parameters.JobQuery, pairs))
    return named, job_list.Query(checked.kind, checked.run, checked.state, ROWS, checked.cursor)


@router.page("GET", "/jobs/retry", Scope.ADMIN)
async def ask(given: requests.PageRequest) -> Response:
    """Ask before all jobs of a cause are tried again, with their number."""
    chosen = {name: value for name in _CHOSEN if (value := given.parameter(name))}
    found = await given.read(lambda store: store.read(job_errors.group, _matching(chosen), given.now))
    return given.page("jobs_retry.html", causes=found, count=sum(each.count for each in found), chosen=chosen)


@router.page("POST", "/jobs/retry", Scope.ADMIN)
async def retry_all(given: requests.PageRequest) -> Response:
    """Make all jobs of a cause due now."""
    query = _matching({name: value for name in _CHOSEN if (value := given.field(name))})
    count = await given.database.write(retrying.retry_matching, query, given.now)
    return given.redirect(given.url("/jobs"), f"{count:,} {'job is' if count == 1 else 'jobs are'} due now.")


@router.page("POST", "/jobs/{id}/retry", Scope.ADMIN)
async def retry_one(given: requests.PageRequest) -> Response:
    """Make one job due now."""
    job_id = request_parsing.ids(given.ids)["id"]
    if not await given.database.write(retrying.retry, [job_id], given.now):
        raise errors.NotFound("there is no job with that id; a job that is done is gone")
    back = requests.local_path(given.field("back", "/jobs"))
    return given.redirect(given.url(back if back.startswith("/jobs") else "/jobs"), "The job is due now.")


def _matching(chosen: Mapping[str, str]) -> job_errors.Query:
    """Return the filter of failing and dead jobs. Raises BadParameter."""
    pairs = list(chosen.items())
    checked = cast(query_parameters.CauseQuery, request_parsing.query(query_parameters.CauseQuery, pairs))
    return job_errors.Query(checked.kind, checked.state, checked.cause)
