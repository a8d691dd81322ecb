"""The handlers of /agent/v1 and /webhooks/v1: agents and runs, endpoints, and the history of deliveries."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.sandbox import endpoints, messages, sending, state, streams


def _machine_or_null(value: object) -> bool:
    """Check the `sandbox` of an agent: cpu and memoryMiB are positive integers."""
    sizes = [value.get(name, 1) for name in ("cpu", "memoryMiB")] if isinstance(value, dict) else [None]
    return value is None or all(map(messages.whole(1, math.inf), sizes))


_TASK: dict[str, messages.Check] = {
    "prompt": messages.text,
    "guidance": messages.text_or_null,
    "objectIds": messages.texts_or_null,
}
_RUN: dict[str, messages.Check] = {
    "agentId": messages.text,
    **_TASK,
    "model": messages.text_or_null,
    "callbackUrl": messages.text_or_null,
}
_TOOLS: dict[str, messages.Check] = {
    "instructions": messages.text,
    "model": messages.text,
    "vaultIds": messages.texts_or_null,
    "enabledTools": messages.texts_or_null,
    "disabledTools": messages.texts_or_null,
    "sandbox": _machine_or_null,
    "vaultGroups": messages.texts_or_null,
}
_AGENT: dict[str, messages.Check] = {"name": messages.text, "description": messages.text_or_null, **_TOOLS}
_HIGHEST_LIMIT = 250


@dataclasses.dataclass(frozen=True)
class Agents:
    """Create, list, get, update and soft-delete agents."""

    world: state.World

    async def create(self, request: Request) -> messages.Json:
        fields = messages.fields(await request.body(), _AGENT, required=("name", "instructions"))
        _refuse_both_tool_lists(fields)
        return messages.Json(_agent(self.world.add_agent(fields), _AGENT))

    async def list(self, request: Request) -> messages.Json:
        limit = messages.limit(request.query_params.get("limit"), _HIGHEST_LIMIT)
        known = [agent for agent in self.world.agents.values() if not agent.ephemeral]
        page, cursor = state.page(known, limit, request.query_params.get("cursor"), lambda agent: agent.active)
        # Lists leave out the instructions.
        shown = [_agent(agent, ("name", "description", "model", "vaultIds")) for agent in page]
        return messages.Json({"agents": shown, "hasMore": cursor is not None, "nextCursor": cursor})

    async def get(self, request: Request) -> messages.Json:
        return messages.Json(_agent(self._named(request), _AGENT))

    async def update(self, request: Request) -> messages.Json:
        agent = self._named(request)
        fields = messages.fields(await request.body(), _AGENT)
        if not fields:
            raise messages.ApiError(400, "No fields to update")
        _refuse_both_tool_lists({**agent.fields, **fields})
        agent.fields.update(fields)
        agent.updated_at = self.world.clock()
        return messages.Json(_agent(agent, _AGENT))

    async def delete(self, request: Request) -> messages.Json:
        self._named(request).active = False
        return messages.Json({"ok": True})

    def _named(self, request: Request) -> state.Agent:
        return self.world.agent(request.path_params["id"])


@dataclasses.dataclass(frozen=True)
class Runs:
    """Create, list, execute, show, stream, cancel and watch runs; streams end when `stopped` is set."""

    world: state.World
    lifecycle: sending.Lifecycle
    public_only: bool
    stopped: asyncio.Event

    async def create(self, request: Request) -> messages.Json:
        fields: dict[str, Any] = messages.fields(await request.body(), _RUN, required=("agentId", "prompt"))
        callback = fields.get("callbackUrl")
        if callback is not None:
            messages.target(callback, public_only=self.public_only)
        run = self._added(self.world.agent(fields["agentId"]), fields)
        run.watchers += [callback] if callback is not None else []
        return messages.Json(messages.shown(run, "id", "agent_id", "status", "object_ids", "created_at"))

    async def list(self, request: Request) -> messages.Json:
        params = request.query_params
        limit = messages.limit(params.get("limit"), _HIGHEST_LIMIT)
        agent, status = params.get("agentId"), messages.one_of(params.get("status"), state.STATES, "status")

        def matches(run: state.Run) -> bool:
            return agent in (None, run.agent_id) and status in (None, run.status)

        page, cursor = state.page(list(self.world.runs.values()), limit, params.get("cursor"), matches)
        names = ("id", "agent_id", "status", "model", *state.TIMES)
        shown = [{**messages.shown(run, *names), "prompt": run.prompt[:200]} for run in page]
        return messages.Json({"runs": shown, "hasMore": cursor is not None, "nextCursor": cursor})

    async def exec(self, request: Request) -> messages.Json:
        run = self._named(request)
        self.lifecycle.start(run)
        if self.world.injector.faults.callback_before_exec_answer and (tasks := self.lifecycle.finish(run)):
            await asyncio.wait(tasks)
        text = "Run started. Poll /run/:id/status or register a watcher."
        return messages.Json({"id": run.id, "status": "running", "workflowId": run.workflow_id, "message": text})

    async def status(self, request: Request) -> messages.Json:
        run = self._named(request)
        duration = state.duration_ms(run, self.world.clock())
        shown = messages.shown(run, "id", "status", "started_at", "completed_at")
        return messages.Json({**shown, "durationMs": duration})

    async def details(self, request: Request) -> Response:
        run, now, switches = self._named(request), self.world.clock(), self.world.injector.faults
        since_end = now - (run.completed_at or now)
        has_waited = since_end >= switches.incomplete_seconds
        complete = has_waited and run.fetches_after_end >= switches.incomplete_fetches
        run.fetches_after_end += run.ended
        shown = messages.encoded(state.details(run, now, complete=complete))
        padded = state.padded(shown, switches.details_padding if run.ended else 0)
        return Response(padded, media_type=messages.Json.media_type)

    async def events(self, request: Request) -> streams.Stream:
        run = self._named(request)
        # The header wins: a client that connects again keeps the query of its first call.
        after = request.headers.get("last-event-id") or request.query_params.get("lastEventId") or "0"
        if not re.fullmatch(r"[0-9]{1,15}", after):
            raise messages.ApiError(400, "lastEventId must be an integer")
        return streams.Stream(self.world, self.stopped, run, int(after))

    async def cancel(self, request: Request) -> messages.Json:
        run = self._named(request)
        text = f"Run already {run.status}" if run.ended else "Run cancelled"
        self.lifecycle.finish(run, "cancelled")
        return messages.Json({"id": run.id, "status": run.status, "message": text})

    async def watch(self, request: Request) -> messages.Json:
        run = self._named(request)
        fields = messages.fields(await request.body(), {"callbackUrl": messages.text}, required=("callbackUrl",))
        url = messages.target(fields["callbackUrl"], public_only=self.public_only)
        run.watchers.append(url)
        return messages.Json({"ok": True, "callbackUrl": url})

    async def execute(self, request: Request) -> messages.Json:
        """Create an ephemeral agent and a run of it, which starts at once."""
        fields: dict[str, Any] = messages.fields(await request.body(), {**_TOOLS, **_TASK}, required=("prompt",))
        default = {"name": "Ephemeral agent", "instructions": "You are a legal assistant."}
        about = {**default, **{name: value for name, value in fields.items() if name in _TOOLS}}
        run = self._added(self.world.add_agent(about, ephemeral=True), fields)
        self.lifecycle.start(run)
        text = "Run started. Poll /agent/v1/run/:id/status."
        return messages.Json({"runId": run.id, "agentId": run.agent_id, "status": "running", "message": text})

    def _named(self, request: Request) -> state.Run:
        return self.world.run(request.path_params["id"])

    def _added(self, agent: state.Agent, fields: dict[str, Any]) -> state.Run:
        chosen = (fields.get(name) for name in ("guidance", "model", "objectIds"))
        return self.world.add_run(agent, fields["prompt"], *chosen)


def _agent(agent: state.Agent, names: Iterable[str]) -> messages.Object:
    shown = {name: agent.fields.get(name) for name in names}
    return {**shown, **messages.shown(agent, "id", "created_at", "updated_at"), "isActive": agent.active}


def _refuse_both_tool_lists(fields: messages.Object) -> None:
    if fields.get("enabledTools") is not None and fields.get("disabledTools") is not None:
        raise messages.ApiError(400, "enabledTools and disabledTools are mutually exclusive")


_GRACE = 86_400
_LONGEST_GRACE = 2_592_000
_MOST_LISTED = 100


def _filters(value: object) -> bool:
    return isinstance(value, list) and messages.texts_or_null(value) and bool(value) and all(value)


def _scopes(value: object) -> bool:
    if not isinstance(value, dict):
        return value is None
    return all(messages.texts_or_null(value.get(name)) for name in ("vaultIds", "matterIds"))


def _grace(value: object) -> bool:
    """Check whole seconds; 60.0 is as whole as 60."""
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return messages.whole(0, _LONGEST_GRACE)(whole)


def _object(value: object) -> bool:
    return isinstance(value, dict)


_FIELDS: dict[str, messages.Check] = {
    "url": messages.text,
    "description": messages.text_or_null,
    "eventTypeFilters": _filters,
    "resourceScopes": _scopes,
}
_CHANGES: dict[str, messages.Check] = {**_FIELDS, "status": ("active", "disabled").__contains__}
_NAMES = {"eventTypeFilters": "event_type_filters", "resourceScopes": "resource_scopes"}
_ENDPOINT = (
    "id", "url", "description", "event_type_filters", "resource_scopes", "status", "consecutive_failures",
    "created_at", "updated_at", "last_delivery_at", "secret_rotated_at",
)  # fmt: skip
_DELIVERY = ("id", "status", "attempts", "response_status", "created_at", "last_attempt_at", "is_replay")


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """Create, list, show, change, delete, rotate and test webhook endpoints."""

    world: state.World
    events: sending.Events
    registry: endpoints.Registry
    public_only: bool

    async def create(self, request: Request) -> messages.Json:
        """Answer 201; only this answer, and that of a rotation, shows a signing secret."""
        required = ("url", "eventTypeFilters")
        fields: dict[str, Any] = messages.fields(await request.body(), _FIELDS, required=required)
        self._check_url(fields)
        endpoint = self.registry.add(_record(fields), self.world.injector.faults.event_key_encoding)
        return messages.Json(self._with_secret(endpoint), status_code=201)

    async def list(self, request: Request) -> messages.Json:
        limit = messages.limit(request.query_params.get("limit"), _MOST_LISTED)
        status = messages.one_of(request.query_params.get("status"), endpoints.ENDPOINT_STATES, "status")
        found = [each for each in reversed(self.registry.endpoints()) if status in (None, each.status)]
        return messages.Json({"endpoints": [self._shown(endpoint) for endpoint in found[:limit]]})

    async def get(self, request: Request) -> messages.Json:
        return messages.Json(self._shown(self._named(request)))

    async def update(self, request: Request) -> messages.Json:
        endpoint = self._named(request)
        fields = messages.fields(await request.body(), _CHANGES)
        self._check_url(fields)
        self.registry.update(endpoint, _record(fields))
        return messages.Json(self._shown(endpoint))

    async def delete(self, request: Request) -> Response:
        # It is only marked, since its deliveries stay in the history.
        self._named(request).deleted = True
        return Response(status_code=204)

    async def rotate_secret(self, request: Request) -> messages.Json:
        endpoint, body = self._named(request), await request.body() or b"{}"
        fields: dict[str, Any] = messages.fields(body, {"previousSecretExpiresInSec": _grace})
        grace = fields.get("previousSecretExpiresInSec", _GRACE)
        self.registry.rotate(endpoint, grace, self.world.injector.faults.event_key_encoding)
        return messages.Json(self._with_secret(endpoint))

    async def test(self, request: Request) -> messages.Json:
        """Answer when the endpoint has answered or failed to, also for one that is disabled."""
        endpoint, body = self._named(request), await request.body() or b"{}"
        fields: dict[str, Any] = messages.fields(body, {"eventType": messages.text, "payload": _object})
        data = fields.get("payload", {"message": "This is a test event."})
        sent, seconds = await self.events.test(endpoint, fields.get("eventType", "webhook.test"), data)
        shown = {"delivered": sent.delivered, "responseStatus": sent.status, "error": sent.error}
        return messages.Json({**shown, "durationMs": round(seconds * 1000)})

    async def event_types(self, request: Request) -> messages.Json:
        names = ("type", "scope", "description")
        types = [{**dict(zip(names, each, strict=True)), "stability": "stable"} for each in sending.CATALOGUE]
        return messages.Json({"eventTypes": types})

    def _named(self, request: Request) -> endpoints.Endpoint:
        return self.registry.endpoint(request.path_params["id"])

    def _check_url(self, fields: messages.Object) -> None:
        if "url" in fields:
            messages.target(fields["url"], public_only=self.public_only, field="url")

    def _with_secret(self, endpoint: endpoints.Endpoint) -> messages.Object:
        return {**self._shown(endpoint), "signingSecret": endpoint.secret.text}

    def _shown(self, endpoint: endpoints.Endpoint) -> messages.Object:
        """Return an endpoint without its secrets; the interface names no fields, so these are its requests'."""
        previous = endpoint.secrets(self.world.clock())[1:]
        expires = messages.instant(previous[0].expires_at) if previous else None
        return {**messages.shown(endpoint, *_ENDPOINT), "previousSecretExpiresAt": expires}


@dataclasses.dataclass(frozen=True)
class Deliveries:
    """List, show and replay deliveries of events."""

    registry: endpoints.Registry
    events: sending.Events

    async def list(self, request: Request) -> messages.Json:
        """Answer the newest first; an endpoint that is gone is found by its id."""
        params = request.query_params
        limit = messages.limit(params.get("limit"), _MOST_LISTED)
        status = messages.one_of(params.get("status"), endpoints.DELIVERY_STATES, "status")
        found = self.registry.history(params.get("endpoint_id"), status)
        return messages.Json({"deliveries": [_delivery(delivery) for delivery in found[:limit]]})

    async def get(self, request: Request) -> messages.Json:
        return messages.Json(_delivery(self.registry.delivery(request.path_params["id"])))

    async def replay(self, request: Request) -> messages.Json:
        """Answer the new delivery while it is pending; raises ApiError with status 409 for a disabled endpoint."""
        earlier = self.registry.delivery(request.path_params["id"])
        fields = messages.fields(await request.body() or b"{}", {"payload": _object})
        endpoint = self.registry.endpoint(earlier.endpoint.id)
        if not endpoint.receives:
            raise messages.ApiError(409, f"Endpoint is no longer active (status: {endpoint.status})")
        return messages.Json(_delivery(self.events.replay(earlier, fields.get("payload"))))


def _record(fields: messages.Object) -> messages.Object:
    """Return the fields of a request under the names of `endpoints.Endpoint`."""
    return {_NAMES.get(name, name): value for name, value in fields.items()}


def _delivery(delivery: endpoints.Delivery) -> messages.Object:
    return {
        **messages.shown(delivery, *_DELIVERY),
        "endpointId": delivery.endpoint.id,
        "eventId": delivery.event["id"],
        "eventType": delivery.event["type"],
        "occurredAt": delivery.event["occurred_at"],
    }
