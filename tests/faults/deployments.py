"""Deployments whose ways are watched: a proxy before the upstream and, on PostgreSQL, one before the database.

with deployments.proxied(site) as far:
    proxied.upstream_way.hole = True
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

#: An hour of the time of these deployments, in seconds: their waits for the upstream are 1200 times shorter.
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
#: Callbacks that are not taken are sent again, and are the first to tell.
SWITCHES = faults.Faults(event_states=(), callback_retries=1000, retry_backoff=0.05)


@dataclass(frozen=True)
class ProxiedDeployment(harness.Deployment):
    """A deployment that reaches the upstream, and a database server, through proxies."""

    upstream_way: proxy.Proxy
    database_way: proxy.Proxy | None

    def calm(self) -> None:
        """A good day again."""
        self.upstream_way.calm()
        if self.database_way is not None:
            self.database_way.calm()
        self.sandbox.faults(**faults.as_json(SWITCHES))

    def until_ready(self) -> None:
        """Waits until the deployment is ready, by itself."""
        until(lambda: readiness(self) == 200, why="it did not become ready again by itself")


def readiness(deployment: harness.Deployment) -> int:
    """The status that a load balancer gets."""
    return httpx.get(f"{deployment.server.url}/readyz", **PLAIN).status_code


def until_not_ready(deployment: harness.Deployment) -> None:
    """Wait until readiness is 503."""
    until(lambda: readiness(deployment) == 503, why="the trouble was not reported")


@contextmanager
def proxied(site: Site, *, run_seconds: float = 0.1, **settings: Any) -> Iterator[ProxiedDeployment]:
    """A started server with its sandbox and a proxy on each way."""
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
        yield ProxiedDeployment(**known, upstream_way=ways[-1], database_way=database)


@dataclass
class Load:
    """A backend that goes on submitting and, as a careful one, insists where it was not acknowledged."""

    deployment: harness.Deployment
    nonce: str
    pace: float
    answers: Counter[int] = field(default_factory=Counter)
    unhelpful: list[str] = field(default_factory=list)
    submitted: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Submits one run after the other until `stop` is called; the last one is seen through as well."""
        headers = {"Authorization": f"Bearer {self.deployment.server.key}"}
        with httpx.Client(base_url=self.deployment.server.url, headers=headers, timeout=60) as client:
            for number in itertools.count():
                if self._stopping.is_set():
                    return
                until(partial(self._taken, client, number), why="it was never acknowledged")
                self.submitted += 1
                time.sleep(self.pace)  # what is judged is to stay small

    def _taken(self, client: httpx.Client, number: int) -> bool:
        body = {"agentId": self.deployment.agent, "prompt": f"Review the lease. {self.nonce}"}
        answer = client.post("/v1/runs", json=body, headers={"Idempotency-Key": f"{self.nonce}_{number}"})
        self.answers[answer.status_code] += 1
        if answer.status_code == 503 and "retry-after" not in answer.headers:
            self.unhelpful.append(answer.text)
        return answer.status_code in (200, 202)

    def stop(self) -> None:
        self._stopping.set()

    def judge(self) -> None:
        """Every answer was a 2xx or a 503 that says when; every run was stored and executed once."""
        assert set(self.answers) <= {200, 202, 503}
        assert not self.unhelpful
        judge(self.deployment, self.nonce, records=self.submitted, execs=self.submitted)
        acknowledged(self.deployment, self.nonce)


def acknowledged(deployment: harness.Deployment, nonce: str) -> int:
    """Judges that every callback that got a 2xx is a row or counted on one; how many those were."""
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
def flowing(deployment: harness.Deployment, nonce: str, pace: float = 0.05) -> Iterator[Load]:
    """Runs are submitted, one every `pace` seconds, carried out and called back all the while."""
    load = Load(deployment, nonce, pace)
    thread = threading.Thread(target=load.run, name="load")
    thread.start()
    try:
        until(lambda: load.submitted > 2)
        yield load
        enough = load.submitted + 2
        until(lambda: load.submitted > enough, why="after the trouble nothing was taken any more")
    finally:
        load.stop()
        thread.join(120)


def at_once(*asked: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The answers to requests made at the same time, in their order."""
    with ThreadPoolExecutor(len(asked)) as pool:
        return [each.result() for each in [pool.submit(ask) for ask in asked]]


def name_of(url: str) -> str:
    """The name of a database."""
    return str(make_url(url).database)
