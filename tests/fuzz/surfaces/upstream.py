"""Answers of the upstream, of every route, changed for one run each or for all."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.fuzz.trial import Case, Known, submission
from tests.fuzz.upstream_proxy import Plan

#: How often a route is chosen. Details carry most of what comes from outside.
_ROUTES = {"details": 10, "create": 3, "exec": 3, "status": 2, "list": 4, "events": 3, "cancel": 1, "execute": 2}


def draw(rng: random.Random, known: Known) -> Case:
    """Draw a run, one or two of whose answers are changed once or a few times."""
    marker = f"fuzz-{rng.getrandbits(48):012x}"
    plans = tuple(_plan(rng, marker) for _ in range(rng.choice((1, 1, 2))))
    request = submission(known, f"Review the lease. {marker}")
    if any(plan.route == "execute" for plan in plans):
        body = request.body.replace(b'"agentId": "%s"' % known.agent.encode(), b'"instructions": "Read."')
        request = replace(request, body=body)
    return Case(request, plans)


def _plan(rng: random.Random, marker: str) -> Plan:
    route = rng.choices(list(_ROUTES), list(_ROUTES.values()))[0]
    times = rng.choice((1, 1, 2, 5))
    return Plan(
        route,
        rng.getrandbits(32),
        changes=rng.choice((1, 2, 4, 8)) if route in ("details", "list") else rng.choice((1, 1, 2)),
        times=times,
        marker="" if route == "list" else marker,
    )
