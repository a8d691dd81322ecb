"""Log one line per request, with the route's template in place of the path: paths contain tokens and ids."""

from __future__ import annotations

import structlog
from starlette.types import Scope

#: Routes that load balancers and monitoring request every few seconds, and files that belong to a page. They are
#: logged at info level only where the answer is not 200.
PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/static/{name}"})


class AccessLog:
    """The log of the requests of one application."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("runledger.access")

    def record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        log = self._log.debug if route in PROBES and status == 200 else self._log.info
        log("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))
