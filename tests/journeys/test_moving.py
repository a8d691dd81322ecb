"""A store moves to a database server in the midst of runs, and they go on there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tests import copying, postgres
from tests.journeys import story
from tests.journeys.judging import judge
from tests.server import Server, Site


def test_runs_that_were_under_way_go_on_where_the_store_went(
    sites: Callable[[str], Site], cluster: postgres.Cluster, nonce: str
) -> None:
    source, to = sites("sqlite"), cluster.fresh("template0")
    with story.opened(source, run_seconds=story.NEVER, timing={"sweep": 0.3}) as house:
        running = house.until_run(house.submit(nonce), "running")
        house.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hold_answer"})
        house.submit(nonce, key=nonce)
        house.until_held("exec", nonce)
        house.server.kill()
        copying.typed(source, "move", "--to", to)
        site = dataclasses.replace(source, database_url=to)
        target = Server(site, house.sandbox.url, {}, {"sweep_seconds": "0.3"})
        try:
            target.start()
            with target.client() as api:
                there = dataclasses.replace(house, server=target, api=api)
                again = there.until_run(there.submit(nonce, key=nonce), "running")  # the key is known there
                for run in (running, again):
                    there.sandbox.finish(there.run(run)["upstreamId"])
                judge(there, nonce, records=2, execs=2)
        finally:
            target.kill()
