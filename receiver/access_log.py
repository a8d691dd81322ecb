"""One line per request, with the route's template in place of the path: paths carry tokens and ids."""

from __future__ import annotations

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What load balancers and monitoring ask every few seconds: told only where it is not answered well.
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class AccessLog:
    """Pure ASGI: passes everything through, notes the status and the time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = structlog.get_logger("runledger.access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "(none)")
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            log = self._log.debug if route in PROBES and status == 200 else self._log.info
            log("request", method=scope["method"], route=route, status=status, ms=milliseconds)
