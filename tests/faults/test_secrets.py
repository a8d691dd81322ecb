"""Every secret is rotated while runs are under way: what was signed with the one before still counts."""

from __future__ import annotations

import secrets

import pytest

from tests.faults import houses
from tests.journeys import registering, story
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Site


@pytest.mark.parametrize("grace", [0, 3600])
def test_webhook_secrets_that_are_rotated_again_and_again_under_load_lose_no_event(
    site: Site, nonce: str, grace: int
) -> None:
    with registering.opened(site) as house:
        house.sandbox.faults(auto_disable_after=0)
        registering.register(house)
        endpoint = registering.standing(house)
        runs = [house.submit(nonce) for _ in range(9)]
        ids = [house.until_run(run, "running")["upstreamId"] for run in runs]
        for place, upstream_id in enumerate(ids):
            house.sandbox.finish(upstream_id)
            if place % 3 == 2:
                registering.operate(house, lambda desk: desk.rotate(endpoint, grace))
        judge(house, nonce, records=9, execs=9, settled_by="platform")
        until(lambda: {sent["run"] for sent in house.sandbox.sent("event") if sent["status"] == 200} >= set(ids))
        lost = {sent["status"] for sent in house.sandbox.sent("event")} - {None, 200, 503}
        assert not lost
        house.judge_calm()


def test_callback_addresses_outlive_the_rotation_of_the_key_that_signed_them(site: Site, nonce: str) -> None:
    with story.opened(site, switches=houses.SWITCHES, run_seconds=story.NEVER) as house:
        runs = [house.submit(f"before_{nonce}") for _ in range(3)]
        ids = [house.until_run(run, "running")["upstreamId"] for run in runs]
        house.server.stop()
        house.sandbox.finish(ids[0])  # called back while nobody is there
        rotated = f"{secrets.token_hex(32)} {site.secret_keys}"
        house.server.start(webhook_secrets=story.secrets_of(house.secret), secret_keys=rotated)
        for upstream_id in ids[1:]:
            house.sandbox.finish(upstream_id)
        judge(house, f"before_{nonce}", records=3, execs=3, settled_by="watcher")
        run = house.until_run(house.submit(f"after_{nonce}"), "running")
        house.sandbox.finish(run["upstreamId"])
        judge(house, f"after_{nonce}", settled_by="watcher")
        assert {sent["status"] for sent in house.sandbox.sent("callback")} <= {None, 200}
