"""A store moves to a database server in the midst of runs, and they go on there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tests import copying, postgres
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.server import Server, Site


def test_runs_that_were_under_way_go_on_where_the_store_went(
    sites: Callable[[str], Site], cluster: postgres.Cluster, nonce: str
) -> None:
    source, to = sites("sqlite"), cluster.fresh("template0")
    with harness.opened(source, run_seconds=harness.NEVER, timing={"sweep": 0.3}) as deployment:
        running = deployment.until_run(deployment.submit(nonce), "running")
        deployment.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hold_answer"})
        deployment.submit(nonce, key=nonce)
        deployment.until_held("exec", nonce)
        deployment.server.kill()
        copying.run_command(source, "move", "--to", to)
        site = dataclasses.replace(source, database_url=to)
        target = Server(site, deployment.sandbox.url, {}, {"sweep_seconds": "0.3"})
        try:
            target.start()
            with target.client() as api:
                there = dataclasses.replace(deployment, server=target, api=api)
                again = there.until_run(there.submit(nonce, key=nonce), "running")  # the key is known there
                for run in (running, again):
                    there.sandbox.finish(there.run(run)["upstreamId"])
                judge(there, nonce, records=2, execs=2)
        finally:
            target.kill()
