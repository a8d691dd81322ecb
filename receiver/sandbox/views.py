"""Records as the service's JSON, with every field that its interface documents."""

from __future__ import annotations

import datetime

from receiver.sandbox import journal, subscriptions, world

Json = dict[str, object]

_AGENT_FIELDS = (
    "name",
    "description",
    "instructions",
    "model",
    "vaultIds",
    "enabledTools",
    "disabledTools",
    "sandbox",
)


def instant(at: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def agent(record: world.Agent) -> Json:
    """An agent as create, get and update show it."""
    shown = {"id": record.id, **{name: record.fields.get(name) for name in _AGENT_FIELDS}}
    shown["vaultGroups"] = record.fields.get("vaultGroups")
    return {**shown, "isActive": record.active, **_agent_times(record)}


def agent_in_list(record: world.Agent) -> Json:
    """An agent as lists show it, without its instructions."""
    names = ("name", "description", "model", "vaultIds")
    shown = {"id": record.id, **{name: record.fields.get(name) for name in names}}
    return {**shown, "isActive": record.active, **_agent_times(record)}


def run_in_list(run: world.Run) -> Json:
    """A run as the list shows it: the prompt cut at 200 characters."""
    return {
        "id": run.id,
        "agentId": run.agent_id,
        "status": run.status,
        "prompt": run.prompt[:200],
        "model": run.model,
        **run_times(run),
    }


def run_created(run: world.Run) -> Json:
    """A run as the answer to its creation shows it."""
    return {
        "id": run.id,
        "agentId": run.agent_id,
        "status": run.status,
        "objectIds": run.object_ids,
        "createdAt": instant(run.created_at),
    }


def status(run: world.Run, now: float) -> Json:
    """A run as the light status route shows it."""
    shown = {"id": run.id, "status": run.status, "durationMs": duration_ms(run, now)}
    return {**shown, "startedAt": _instant(run.started_at), "completedAt": _instant(run.completed_at)}


def run_in_sandbox(run: world.Run) -> Json:
    """A run as `/sandbox/runs` shows it: what tests count and compare."""
    shown: Json = {"guidance": run.guidance, "objectIds": run.object_ids, "execCount": run.exec_count}
    return {**run_in_list(run), "prompt": run.prompt, **shown, "watchers": list(run.watchers)}


def endpoint(record: subscriptions.Endpoint, now: float) -> Json:
    """A webhook endpoint without its secrets. The interface names no fields: these are those of its requests."""
    previous = record.secrets(now)[1:]
    return {
        "id": record.id,
        "url": record.url,
        "description": record.description,
        "eventTypeFilters": record.filters,
        "resourceScopes": record.scopes,
        "status": record.status,
        "consecutiveFailures": record.failures,
        "createdAt": instant(record.created_at),
        "updatedAt": instant(record.updated_at),
        "lastDeliveryAt": _instant(record.last_delivery_at),
        "secretRotatedAt": _instant(record.rotated_at),
        "previousSecretExpiresAt": _instant(previous[0].expires_at) if previous else None,
    }


def delivery(record: subscriptions.Delivery) -> Json:
    """A delivery of the history, in the same spelling."""
    return {
        "id": record.id,
        "endpointId": record.endpoint.id,
        "eventId": record.event["id"],
        "eventType": record.event["type"],
        "status": record.status,
        "attempts": record.attempts,
        "responseStatus": record.response_status,
        "occurredAt": record.event["occurred_at"],
        "createdAt": instant(record.created_at),
        "lastAttemptAt": _instant(record.last_attempt_at),
        "isReplay": record.replay,
    }


def test_result(sent: journal.Sent, seconds: float) -> Json:
    """What became of a test event; `error` names what kept it from being answered."""
    took = round(seconds * 1000)
    return {"delivered": sent.delivered, "responseStatus": sent.status, "durationMs": took, "error": sent.error}


def event_type(kind: str, scope: str, about: str) -> Json:
    """An event type of the catalogue."""
    return {"type": kind, "scope": scope, "stability": "stable", "description": about}


def _agent_times(record: world.Agent) -> Json:
    return {"createdAt": instant(record.created_at), "updatedAt": instant(record.updated_at)}


def run_times(run: world.Run) -> Json:
    """The three instants of a run."""
    started, completed = _instant(run.started_at), _instant(run.completed_at)
    return {"createdAt": instant(run.created_at), "startedAt": started, "completedAt": completed}


def _instant(at: float | None) -> str | None:
    return None if at is None else instant(at)


def duration_ms(run: world.Run, now: float) -> int | None:
    """How long a run has run, in milliseconds; None before its start."""
    if run.started_at is None:
        return None
    end = now if run.completed_at is None else run.completed_at
    return max(0, round((end - run.started_at) * 1000))
