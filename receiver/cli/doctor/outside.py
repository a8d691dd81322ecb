"""The upstream: whether it can be reached, takes the key, still has its agent API, and what time it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from receiver import clock, errors
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import Finding
from receiver.cli.doctor.scene import Scene
from receiver.upstream import probing, routes

#: Seconds after which an answer is slow.
SLOW = 3.0
#: Seconds that clocks may be apart; signed events are turned away at 300.
APART, TOO_FAR = 30, 240
WITHDRAWN = (404, 405, 410)
#: Asked with where there is no key: what answers 401 to it is there and has a clock.
NOBODY = "none"

_NOTICES = "see Case.dev's notices, and whether CASEDEV_BASE_URL is right; runs are taken and wait meanwhile"


async def upstream(scene: Scene) -> AsyncIterator[Finding]:
    """All that three harmless calls tell."""
    key = scene.given.casedev_api_key.get_secret_value()
    if not key:
        advice = "set it to your Case.dev key (sk_case_…); `runledger demo` needs none"
        yield findings.fault("key", "CASEDEV_API_KEY is empty", advice)
    if scene.lacks("casedev_base_url"):
        return
    asked = (_seen(scene, key, route) for route in (routes.LIST, routes.AGENTS, routes.LIST_ENDPOINTS))
    try:
        runs, agents, endpoints = await asyncio.gather(*asked)
    except errors.SettingsError as unusable:
        yield findings.fault("key", str(unusable), "copy it again as Case.dev shows it")
        return
    yield reachable_judged(runs, scene.given.casedev_base_url)
    if runs.status is None:
        return
    yield clock_judged(runs.skew)
    if key:
        yield agent_api_judged(runs)
        yield key_judged(runs)
    if key and runs.error is None:
        yield scope_judged(agents, "agent", "agents cannot be listed; runs can")
        yield scope_judged(endpoints, "webhooks", "`runledger webhooks register` cannot work with this key")


async def _seen(scene: Scene, key: str, route: str) -> probing.Seen:
    probe = probing.Probe(scene.given.casedev_base_url, key or NOBODY, clock.now, timeout=scene.timeout)
    try:
        return await probe.ask(route, query={"limit": "1"})
    finally:
        await probe.aclose()


def reachable_judged(seen: probing.Seen, address: str) -> Finding:
    """Whether anything answers, and how soon."""
    if seen.status is None:
        advice = "check CASEDEV_BASE_URL and this machine's way out; proxies of the environment are not used"
        return findings.fault("upstream", f"{address} cannot be reached: {seen.cause}", advice)
    took = f"{address} answers after {seen.seconds * 1000:,.0f} ms"
    if seen.status >= 500 or seen.status == 429:
        advice = "nothing: the worker tries on until it passes; runs wait meanwhile"
        return findings.warning("upstream", f"{took}, with {seen.status}", advice)
    if seen.seconds > SLOW:
        return findings.warning("upstream", took, "that is slow: each run takes four calls or more")
    return findings.ok("upstream", took)


def agent_api_judged(seen: probing.Seen) -> Finding:
    """Whether there still is an agent API."""
    if seen.status in WITHDRAWN:
        said = f"the agent API is withdrawn: {seen.route} answers {seen.status}"
        return findings.fault("agent API", said, _NOTICES)
    if isinstance(seen.error, errors.Unreadable):
        said = f"{seen.route} answers {seen.status} with what is no list of runs"
        return findings.fault("agent API", said, "CASEDEV_BASE_URL most likely leads to something else")
    if seen.error is not None:
        advice = "see to the key first" if seen.status in (401, 402, 403) else "ask again later"
        return findings.warning("agent API", f"cannot be told: {seen.route} answers {seen.status}", advice)
    return findings.ok("agent API", f"alive: {seen.route} answers {seen.status}")


def key_judged(seen: probing.Seen) -> Finding:
    """Whether the key is taken for runs."""
    advice = "set CASEDEV_API_KEY to a key that is valid and has the scope `agent`, then restart the server"
    if seen.status == 401:
        return findings.fault("key", "the upstream does not take CASEDEV_API_KEY (401)", advice)
    if seen.status == 402:
        said = "the upstream wants to be paid first (402)"
        return findings.fault("key", said, "see to the organisation's account at Case.dev")
    if seen.status == 403:
        return findings.fault("key", "the key lacks the scope `agent` (403)", advice)
    if seen.error is not None:
        return findings.warning("key", f"cannot be told: the upstream answers {seen.status}", "ask again later")
    return findings.ok("key", "taken, with the scope `agent`")


def scope_judged(seen: probing.Seen, scope: str, without: str) -> Finding:
    """Whether the key opens something that is not needed for runs."""
    name = f"scope {scope}"
    if seen.error is None:
        return findings.ok(name, f"{seen.route} answers {seen.status}")
    if seen.status in (401, 402, 403):
        return findings.warning(name, f"{seen.route} answers {seen.status}: {without}", "have it added to the key")
    told = seen.cause if seen.status is None else f"{seen.route} answers {seen.status}"
    return findings.warning(name, f"cannot be told: {told}", "ask again later")


def clock_judged(skew: float | None) -> Finding:
    """Whether our clock is near enough to the upstream's."""
    if skew is None:
        return findings.warning(
            "clock", "the upstream tells no Date", "see that this machine's clock is kept by NTP"
        )
    apart = abs(skew)
    said = f"{apart:,.0f} s {'behind' if skew > 0 else 'ahead of'} the upstream's"
    advice = "have the clock kept by NTP: signed events are turned away when it is 300 s off"
    if apart > TOO_FAR:
        return findings.fault("clock", said, advice)
    if apart > APART:
        return findings.warning("clock", said, advice)
    return findings.ok("clock", f"within {max(1, round(apart))} s of the upstream's")
