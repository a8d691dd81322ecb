"""Checks of the upstream: whether it answers, accepts the key, has its agent API, and shares our time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from receiver import clock, errors
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import CheckContext, Finding
from receiver.upstream import probing, routes

#: Seconds after which an answer is slow.
SLOW = 3.0
#: Seconds that clocks may differ; signed events are rejected at 300.
APART, TOO_FAR = 30, 240
WITHDRAWN = (404, 405, 410)
#: The key that is sent where none is set: an upstream that answers 401 is reachable and shows its clock.
NO_KEY = "none"

_NOTICES = "see Case.dev's notices, and whether CASEDEV_BASE_URL is right; runs are accepted and wait meanwhile"


async def upstream(context: CheckContext) -> AsyncIterator[Finding]:
    """Check the upstream by three calls that change nothing."""
    key = context.given.casedev_api_key.get_secret_value()
    if not key:
        advice = "set it to your Case.dev key (sk_case_…); `runledger demo` needs none"
        yield findings.fault("key", "CASEDEV_API_KEY is empty", advice)
    if context.lacks("casedev_base_url"):
        return
    asked = (_seen(context, key, route) for route in (routes.LIST, routes.AGENTS, routes.LIST_ENDPOINTS))
    try:
        runs, agents, endpoints = await asyncio.gather(*asked)
    except errors.SettingsError as unusable:
        yield findings.fault("key", str(unusable), "copy it again as Case.dev shows it")
        return
    yield reachable_finding(runs, context.given.casedev_base_url)
    if runs.status is None:
        return
    yield clock_finding(runs.skew)
    if key:
        yield agent_api_finding(runs)
        yield key_finding(runs)
    if key and runs.error is None:
        yield scope_finding(agents, "agent", "agents cannot be listed; runs can")
        yield scope_finding(endpoints, "webhooks", "`runledger webhooks register` cannot work with this key")


async def _seen(context: CheckContext, key: str, route: str) -> probing.ProbeResult:
    probe = probing.Probe(context.given.casedev_base_url, key or NO_KEY, clock.now, timeout=context.timeout)
    async with contextlib.aclosing(probe):
        return await probe.ask(route, query={"limit": "1"})


def reachable_finding(seen: probing.ProbeResult, address: str) -> Finding:
    """Return whether the address answers, and how soon."""
    if seen.status is None:
        advice = "check CASEDEV_BASE_URL and this machine's network; proxies of the environment are not used"
        return findings.fault("upstream", f"{address} cannot be reached: {seen.cause}", advice)
    took = f"{address} answers after {seen.seconds * 1000:,.0f} ms"
    if seen.status >= 500 or seen.status == 429:
        advice = "nothing: the worker retries until it passes; runs wait meanwhile"
        return findings.warning("upstream", f"{took}, with {seen.status}", advice)
    if seen.seconds > SLOW:
        return findings.warning("upstream", took, "that is slow: each run takes four calls or more")
    return findings.ok("upstream", took)


def agent_api_finding(seen: probing.ProbeResult) -> Finding:
    """Return whether the upstream has its agent API."""
    if seen.status in WITHDRAWN:
        message = f"the agent API is withdrawn: {seen.route} answers {seen.status}"
        return findings.fault("agent API", message, _NOTICES)
    if isinstance(seen.error, errors.InvalidResponse):
        message = f"{seen.route} answers {seen.status} with something that is no list of runs"
        return findings.fault("agent API", message, "CASEDEV_BASE_URL most likely leads to something else")
    if seen.error is not None:
        advice = "correct the key first" if seen.status in (401, 402, 403) else "ask again later"
        return findings.warning("agent API", f"unknown: {seen.route} answers {seen.status}", advice)
    return findings.ok("agent API", f"alive: {seen.route} answers {seen.status}")


def key_finding(seen: probing.ProbeResult) -> Finding:
    """Return whether the upstream accepts the key for runs."""
    advice = "set CASEDEV_API_KEY to a key that is valid and has the scope `agent`, then restart the server"
    if seen.status == 401:
        return findings.fault("key", "the upstream does not accept CASEDEV_API_KEY (401)", advice)
    if seen.status == 402:
        message = "the upstream demands payment (402)"
        return findings.fault("key", message, "check the organisation's account at Case.dev")
    if seen.status == 403:
        return findings.fault("key", "the key lacks the scope `agent` (403)", advice)
    if seen.error is not None:
        return findings.warning("key", f"unknown: the upstream answers {seen.status}", "ask again later")
    return findings.ok("key", "accepted, with the scope `agent`")


def scope_finding(seen: probing.ProbeResult, scope: str, without: str) -> Finding:
    """Return whether the key has a scope that runs do not need."""
    name = f"scope {scope}"
    if seen.error is None:
        return findings.ok(name, f"{seen.route} answers {seen.status}")
    if seen.status in (401, 402, 403):
        return findings.warning(name, f"{seen.route} answers {seen.status}: {without}", "have it added to the key")
    answer = seen.cause if seen.status is None else f"{seen.route} answers {seen.status}"
    return findings.warning(name, f"unknown: {answer}", "ask again later")


def clock_finding(skew: float | None) -> Finding:
    """Return whether our clock agrees with the upstream's."""
    if skew is None:
        return findings.warning("clock", "the upstream sends no Date", "check that NTP keeps this machine's clock")
    apart = abs(skew)
    message = f"{apart:,.0f} s {'behind' if skew > 0 else 'ahead of'} the upstream's"
    advice = "keep the clock by NTP: signed events are rejected when it is 300 s off"
    if apart > TOO_FAR:
        return findings.fault("clock", message, advice)
    if apart > APART:
        return findings.warning("clock", message, advice)
    return findings.ok("clock", f"within {max(1, round(apart))} s of the upstream's")
