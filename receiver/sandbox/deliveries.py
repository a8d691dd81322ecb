"""The handlers of /webhooks/v1/deliveries: what was sent to endpoints, and sending it again."""

from __future__ import annotations

from starlette.requests import Request

from receiver.sandbox import answers, checks, house, subscriptions, views


class Deliveries:
    """List, show and replay deliveries of events."""

    def __init__(self, parts: house.House) -> None:
        self._house = parts
        self._register = parts.register

    async def list(self, request: Request) -> answers.Json:
        """Newest first; those of an endpoint that is gone are found by its id."""
        params = request.query_params
        limit = checks.limit(params.get("limit"), highest=100)
        status = checks.one_of(params.get("status"), subscriptions.DELIVERY_STATES, "status")
        found = self._register.history(params.get("endpoint_id"), status)
        return answers.Json({"deliveries": [views.delivery(delivery) for delivery in found[:limit]]})

    async def get(self, request: Request) -> answers.Json:
        return answers.Json(views.delivery(self._register.delivery(request.path_params["id"])))

    async def replay(self, request: Request) -> answers.Json:
        """Answers the new delivery while it is pending; a Refusal with status 409 for a disabled endpoint."""
        earlier = self._register.delivery(request.path_params["id"])
        body = await request.body() or b"{}"
        fields = checks.fields(body, {"payload": lambda value: isinstance(value, dict)})
        endpoint = self._register.endpoint(earlier.endpoint.id)
        if not endpoint.receives:
            raise answers.Refusal(409, f"Endpoint is no longer active (status: {endpoint.status})")
        return answers.Json(views.delivery(self._house.events.replay(earlier, fields.get("payload"))))
