"""Deployments with a proxy before the upstream and, on PostgreSQL, one before the database.

with deployments.proxied(site) as proxied:
    proxied.upstream_proxy.blackhole = True
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import httpx2 as httpx
from sqlalchemy import make_url

from receiver.sandbox import faults
from tests import postgres
from tests.faults import proxy
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until
from tests.sandbox_server import PLAIN
from tests.server import Site

#: Seconds that stand for an hour: the waits for the upstream are 1200 times shorter here.
HOUR = 3.0
TIMING = {
    "pause": 0.02,
    "pause_most": 0.05,
    "backoff_most": HOUR,
    "sweep": 0.5,
    "lost_create": 60.0,
    "call": 1.0,
    "database_timeout": 3.0,
    "readiness": 2.0,
}
#: Rejected callbacks are repeated. There are no events, so that callbacks report the ends.
SWITCHES = faults.Faults(event_states=(), callback_retries=1000, retry_backoff=0.05)


@dataclass(frozen=True)
class ProxiedDeployment(harness.Deployment):
    """A deployment that reaches the upstream, and a database server, through proxies."""

    upstream_proxy: proxy.Proxy
    database_proxy: proxy.Proxy | None

    def clear_faults(self) -> None:
        """Make all proxies transparent again."""
        self.upstream_proxy.clear_faults()
        if self.database_proxy is not None:
            self.database_proxy.clear_faults()
        self.sandbox.faults(**faults.as_json(SWITCHES))

    def until_ready(self) -> None:
        """Wait until the deployment is ready again without help."""
        until(lambda: readiness(self) == 200, why="it did not become ready again by itself")


def readiness(deployment: harness.Deployment) -> int:
    """Return the status that a load balancer gets from readiness."""
    return httpx.get(f"{deployment.server.url}/readyz", **PLAIN).status_code


def until_not_ready(deployment: harness.Deployment) -> None:
    """Wait until readiness is 503."""
    until(lambda: readiness(deployment) == 503, why="readiness did not become 503")


@contextmanager
def proxied(site: Site, *, run_seconds: float = 0.1, **settings: Any) -> Iterator[ProxiedDeployment]:
    """Start a server with its sandbox and a proxy before the upstream and the database."""
    with ExitStack() as stack:
        ways: list[proxy.Proxy] = []

        def way(target: proxy.Target) -> proxy.Proxy:
            ways.append(stack.enter_context(proxy.running(target)))
            return ways[-1]

        def through(url: str) -> str:
            parts = httpx.URL(url)
            return way((parts.host, parts.port or 80)).url

        database = way(postgres.socket_of(site.url)) if site.database_url else None
        if database is not None:
            settings = {"database_url": postgres.through(site.url, database.port), **settings}
        opened = harness.opened(
            site, timing=TIMING, switches=SWITCHES, run_seconds=run_seconds, through=through, **settings
        )
        deployment = stack.enter_context(opened)
        known = {each.name: getattr(deployment, each.name) for each in fields(harness.Deployment)}
        yield ProxiedDeployment(**known, upstream_proxy=ways[-1], database_proxy=database)


@dataclass
class Load:
    """A backend that submits one run after the other and retries each until it is acknowledged."""

    deployment: harness.Deployment
    nonce: str
    interval: float
    answers: Counter[int] = field(default_factory=Counter)
    without_retry_after: list[str] = field(default_factory=list)
    submitted: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Submit one run after the other until `stop` is called; finish the last one."""
        headers = {"Authorization": f"Bearer {self.deployment.server.key}"}
        with httpx.Client(base_url=self.deployment.server.url, headers=headers, timeout=60) as client:
            for number in itertools.count():
                if self._stopping.is_set():
                    return
                until(partial(self._taken, client, number), why="it was never acknowledged")
                self.submitted += 1
                time.sleep(self.interval)  # keeps the number of runs small

    def _taken(self, client: httpx.Client, number: int) -> bool:
        body = {"agentId": self.deployment.agent, "prompt": f"Review the lease. {self.nonce}"}
        answer = client.post("/v1/runs", json=body, headers={"Idempotency-Key": f"{self.nonce}_{number}"})
        self.answers[answer.status_code] += 1
        if answer.status_code == 503 and "retry-after" not in answer.headers:
            self.without_retry_after.append(answer.text)
        return answer.status_code in (200, 202)

    def stop(self) -> None:
        self._stopping.set()

    def judge(self) -> None:
        """Check that every answer was a 2xx or a 503 with Retry-After, and each run was executed once."""
        assert set(self.answers) <= {200, 202, 503}
        assert not self.without_retry_after
        judge(self.deployment, self.nonce, records=self.submitted, execs=self.submitted)
        acknowledged(self.deployment, self.nonce)


def acknowledged(deployment: harness.Deployment, nonce: str) -> int:
    """Check that every callback with a 2xx is a row or counted on one; return how many those were."""
    ids = {run["id"] for run in deployment.named(nonce)}
    taken: int = sum(sent["run"] in ids and sent["status"] == 200 for sent in deployment.sandbox.sent("callback"))
    named = "%" + nonce.replace("_", "!_") + "%"
    (found,) = deployment.server.rows(
        "SELECT coalesce(sum(1 + repeats), 0) AS n FROM deliveries WHERE verdict <> 'rejected' AND run_id IN "
        "(SELECT id FROM runs WHERE prompt LIKE ? ESCAPE '!')",
        named,
    )
    assert found["n"] >= taken
    return taken


@contextmanager
def under_load(deployment: harness.Deployment, nonce: str, interval: float = 0.15) -> Iterator[Load]:
    """Submit a run every `interval` seconds, and have them executed and called back, for as long as the block."""
    load = Load(deployment, nonce, interval)
    thread = threading.Thread(target=load.run, name="load")
    thread.start()
    try:
        until(lambda: load.submitted > 2)
        yield load
        enough = load.submitted + 2
        until(lambda: load.submitted > enough, why="no more submissions were accepted")
    finally:
        load.stop()
        thread.join(120)


def simultaneously(*asked: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Make requests at the same time; return the answers in their order."""
    with ThreadPoolExecutor(len(asked)) as pool:
        return [each.result() for each in [pool.submit(ask) for ask in asked]]


def name_of(url: str) -> str:
    """Return the name of a database."""
    return str(make_url(url).database)
