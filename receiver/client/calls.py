"""The calls of the operations, one function each; what they return is sent by either client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.client import answers, exchange, filters
from receiver.client.exchange import Ask, parameters, path, present

#: The most seconds that the server waits for the end of a run.
LONGEST_WAIT = 60


def submit(
    agent_id: str | None,
    prompt: str,
    *,
    instructions: str | None,
    guidance: str | None,
    model: str | None,
    object_ids: Sequence[str] | None,
    tags: Mapping[str, str] | None,
    idempotency_key: str | None,
    wait: int,
) -> Ask[answers.FullRun]:
    """Return the submission of a run, with an idempotency key of its own unless one is given."""
    body = present(
        agentId=agent_id,
        instructions=instructions,
        prompt=prompt,
        guidance=guidance,
        model=model,
        objectIds=None if object_ids is None else list(object_ids),
        tags=None if tags is None else dict(tags),
    )
    headers = {"idempotency-key": idempotency_key or exchange.new_key()}
    seconds = max(0, min(wait, LONGEST_WAIT))
    if seconds:
        headers["prefer"] = f"wait={seconds}"
    return Ask("POST", "/v1/runs", body=body, headers=headers, seconds=seconds)


def watch(upstream_id: str) -> Ask[answers.FullRun]:
    """Return the call to adopt a run that was created elsewhere."""
    return Ask("POST", "/v1/watch", body={"runId": upstream_id}, repeats=True)


def run(run: str) -> Ask[answers.FullRun]:
    """Return the call for one run."""
    return Ask("GET", path("/v1/runs/{}", run))


def runs(given: filters.RunsFilters) -> Ask[answers.Runs]:
    """Return the call for a page of runs."""
    return Ask("GET", "/v1/runs", parameters(given))


def steps(run: str) -> Ask[answers.Steps]:
    """Return the call for the steps of a run."""
    return Ask("GET", path("/v1/runs/{}/steps", run), {"limit": "250"})


def timeline(run: str) -> Ask[answers.Timeline]:
    """Return the call for what happened to a run."""
    return Ask("GET", path("/v1/runs/{}/timeline", run))


def document(run: str, version: int | None) -> Ask[bytes]:
    """Return the call for the upstream's answer."""
    return Ask("GET", path("/v1/runs/{}/document", run), parameters({"version": version}))


def cancel(run: str) -> Ask[answers.FullRun]:
    """Return the call to cancel a run."""
    return Ask("POST", path("/v1/runs/{}/cancel", run), repeats=True)


def refresh(run: str) -> Ask[answers.FullRun]:
    """Return the call to fetch a run again."""
    return Ask("POST", path("/v1/runs/{}/refresh", run), repeats=True)


def notify(run: str) -> Ask[answers.FullRun]:
    """Return the call to notify the backend again."""
    return Ask("POST", path("/v1/runs/{}/notify", run))


def tag(run: str, tags: Mapping[str, str | None]) -> Ask[answers.FullRun]:
    """Return the call to set tags, and to remove those that are None."""
    return Ask("PATCH", path("/v1/runs/{}/tags", run), body={"tags": dict(tags)}, repeats=True)


def again(run: str, idempotency_key: str | None, changes: Mapping[str, Any]) -> Ask[answers.FullRun]:
    """Return the call to run a run again, with an idempotency key as a submission."""
    headers = {"idempotency-key": idempotency_key or exchange.new_key()}
    return Ask("POST", path("/v1/runs/{}/again", run), body=present(**changes), headers=headers)


def reviews(run: str) -> Ask[answers.Reviews]:
    """Return the call for what people said about a run."""
    return Ask("GET", path("/v1/runs/{}/reviews", run))


def review(run: str, verdict: str, comment: str | None) -> Ask[answers.Review]:
    """Return the call to say something about a run."""
    body = present(verdict=verdict, comment=comment)
    return Ask("POST", path("/v1/runs/{}/reviews", run), body=body, repeats=True)


def receipt(run: str) -> Ask[answers.RunReceipt]:
    """Return the call for the proofs of a run's entries."""
    return Ask("GET", path("/v1/runs/{}/receipt", run))


def deliveries(given: filters.DeliveriesFilters) -> Ask[answers.Deliveries]:
    """Return the call for a page of deliveries."""
    return Ask("GET", "/v1/deliveries", parameters(given))


def delivery(delivery: str) -> Ask[answers.DeliveryWithBody]:
    """Return the call for one delivery with its body."""
    return Ask("GET", path("/v1/deliveries/{}", delivery))


def jobs(given: filters.JobsFilters) -> Ask[answers.Jobs]:
    """Return the call for a page of jobs."""
    return Ask("GET", "/v1/jobs", parameters(given))


def retry_job(job: str) -> Ask[answers.Job]:
    """Return the call to try a job again."""
    return Ask("POST", path("/v1/jobs/{}/retry", job), repeats=True)


def stats(given: filters.StatsFilters) -> Ask[answers.Stats]:
    """Return the call for sums over runs."""
    return Ask("GET", "/v1/stats", parameters(given))


def sql(statement: str, values: Sequence[Any], limit: int) -> Ask[answers.SqlResult]:
    """Return the call to read the store by SQL."""
    body = {"sql": statement, "parameters": list(values), "limit": limit}
    return Ask("POST", "/v1/sql", body=body, repeats=True)


def changes(given: filters.ChangesFilters) -> Ask[answers.Changes]:
    """Return the call for a page of the change feed."""
    return Ask("GET", "/v1/changes", parameters(given))


def export(given: filters.ExportFilters) -> Ask[bytes]:
    """Return the call for a file of runs."""
    return Ask("GET", "/v1/export", parameters(given))


def events(run: str, after: int | None) -> Ask[bytes]:
    """Return the call for the stream of a run's events."""
    return Ask("GET", path("/v1/runs/{}/events", run), parameters({"lastEventId": after}))


def readiness() -> Ask[answers.Readiness]:
    """Return the call for the state of the deployment."""
    return Ask("GET", "/readyz", accepts=frozenset({503}))
