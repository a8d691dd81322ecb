"""Log one line per request, with the route's template in place of the path: paths contain tokens and ids."""

from __future__ import annotations

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Routes that load balancers and monitoring request every few seconds. They are logged at info level only where
#: the answer is not 200.
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class AccessLog:
    """ASGI middleware that logs the status and duration of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger("runledger.access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_and_record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_record)
        finally:
            route = getattr(scope.get("route"), "path", "(none)")
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            log = self._log.debug if route in PROBES and status == 200 else self._log.info
            log("request", method=scope["method"], route=route, status=status, ms=milliseconds)
