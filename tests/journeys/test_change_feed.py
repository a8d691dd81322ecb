"""The feed as a stream, followed while servers stop, are killed and come back: nothing missed, nothing doubled."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx2 as httpx

from tests.journeys import harness, test_replicas
from tests.journeys.conftest import Sites
from tests.patience import until
from tests.server import Server, Site


class Follower(threading.Thread):
    """Follows the feed from its beginning, through whichever server answers, as a browser would."""

    def __init__(self, servers: Sequence[Server], query: str = "") -> None:
        super().__init__(daemon=True)
        self.received: list[dict[str, Any]] = []
        self.connections = 0
        self._servers = itertools.cycle(servers)
        self._query = query
        self._over = threading.Event()

    @property
    def numbers(self) -> list[int]:
        return [each["number"] for each in self.received]

    def run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(httpx.TransportError):
                self._read(next(self._servers))

    def _read(self, server: Server) -> None:
        last = str(self.numbers[-1]) if self.received else "-1"
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
        with (
            server.client() as api,
            api.stream("GET", f"/v1/changes{self._query}", headers=headers) as response,
        ):
            if response.status_code != 200:
                return
            self.connections += 1
            for event in httpx.EventSource(response):
                if event.data:
                    self.received.append(json.loads(event.data))
                if self._over.is_set():
                    return

    def until(self, number: int) -> None:
        """Waits until it has heard so far."""
        until(lambda: self.received and self.numbers[-1] >= number, why="the follower fell behind")

    def end(self) -> None:
        self._over.set()


@contextlib.contextmanager
def following(servers: Sequence[Server], query: str = "") -> Iterator[Follower]:
    follower = Follower(servers, query)
    follower.start()
    try:
        yield follower
    finally:
        follower.end()


def last_number(server: Server) -> int:
    """The last number of the feed, once every entry has one."""
    until(lambda: not server.rows("SELECT 1 FROM ledger_entries WHERE leaf_index IS NULL"))
    return int(server.rows("SELECT max(leaf_index) AS last FROM ledger_entries")[0]["last"])


def completed(deployment: harness.Deployment, name: str) -> None:
    deployment.until_run(deployment.submit(name), "completed")


def test_a_rolling_restart_of_two_replicas_costs_a_follower_nothing(sites: Sites, nonce: str) -> None:
    with test_replicas.opened(sites, 2) as pair, following(pair.servers) as follower:
        for at, server in enumerate(pair.servers):
            other = pair.servers[1 - at]
            with pair.through(other) as deployment:
                completed(deployment, f"{nonce}_{at}_before")
                follower.until(last_number(other))
                assert server.stop() in (0, -signal.SIGTERM)
                completed(deployment, f"{nonce}_{at}_between")
                pair.start(server)
                completed(deployment, f"{nonce}_{at}_after")
                follower.until(last_number(other))
        assert follower.numbers == list(range(last_number(pair.servers[0]) + 1))
        assert follower.connections > 1


def test_killed_servers_cost_a_follower_nothing(site: Site, nonce: str) -> None:
    timing = {"sweep": 0.5}  # for the callback of a run that ends while no server runs
    with harness.opened(site, timing=timing) as deployment, following([deployment.server]) as follower:
        for at in range(3):
            run = deployment.submit(f"{nonce}_{at}")
            follower.until(at)
            deployment.server.kill()
            deployment.restart()
            with deployment.server.client() as api:  # the deployment's own went with the server
                replace(deployment, api=api).until_run(run, "completed")
            follower.until(last_number(deployment.server))
        assert follower.numbers == list(range(last_number(deployment.server) + 1))
        assert follower.connections > 3


def test_a_question_of_words_is_followed_in_order_while_runs_are_indexed(
    deployment: harness.Deployment, nonce: str
) -> None:
    with following([deployment.server], f"?q={nonce}") as follower:
        runs = [deployment.submit(f"{nonce} {at}") for at in range(4)]
        deployment.submit(nonce[::-1])
        for run in runs:
            deployment.until_run(run, "completed")
        last = last_number(deployment.server)
        entries = deployment.server.rows("SELECT leaf_index, run_id FROM ledger_entries ORDER BY leaf_index")
        ids = {run["id"] for run in runs}
        wanted = [row["leaf_index"] for row in entries if row["run_id"] in ids and row["leaf_index"] <= last]
        follower.until(wanted[-1])
        assert follower.numbers[: len(wanted)] == wanted
