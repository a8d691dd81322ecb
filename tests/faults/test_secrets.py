"""Every secret is rotated while runs are open: what was signed with the previous one still verifies."""

from __future__ import annotations

import secrets

import pytest

from tests.faults import deployments
from tests.journeys import harness, registering
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Site


@pytest.mark.parametrize("grace", [0, 3600])
def test_webhook_secrets_that_are_rotated_again_and_again_under_load_lose_no_event(
    site: Site, nonce: str, grace: int
) -> None:
    with registering.opened(site) as deployment:
        deployment.sandbox.faults(auto_disable_after=0)
        registering.register(deployment)
        endpoint = registering.standing(deployment)
        runs = [deployment.submit(nonce) for _ in range(9)]
        ids = [deployment.until_run(run, "running")["upstreamId"] for run in runs]
        for place, upstream_id in enumerate(ids):
            deployment.sandbox.finish(upstream_id)
            if place % 3 == 2:
                registering.operate(deployment, lambda registrar: registrar.rotate(endpoint, grace))
        judge(deployment, nonce, records=9, execs=9, settled_by="platform")
        until(
            lambda: {sent["run"] for sent in deployment.sandbox.sent("event") if sent["status"] == 200} >= set(ids)
        )
        lost = {sent["status"] for sent in deployment.sandbox.sent("event")} - {None, 200, 503}
        assert not lost
        deployment.judge_ready()


def test_callback_addresses_outlive_the_rotation_of_the_key_that_signed_them(site: Site, nonce: str) -> None:
    with harness.opened(site, switches=deployments.SWITCHES, run_seconds=harness.NEVER) as deployment:
        runs = [deployment.submit(f"before_{nonce}") for _ in range(3)]
        ids = [deployment.until_run(run, "running")["upstreamId"] for run in runs]
        deployment.server.stop()
        deployment.sandbox.finish(ids[0])  # called back while nobody is there
        rotated = f"{secrets.token_hex(32)} {site.secret_keys}"
        deployment.server.start(webhook_secrets=harness.secrets_of(deployment.secret), secret_keys=rotated)
        for upstream_id in ids[1:]:
            deployment.sandbox.finish(upstream_id)
        judge(deployment, f"before_{nonce}", records=3, execs=3, settled_by="watcher")
        run = deployment.until_run(deployment.submit(f"after_{nonce}"), "running")
        deployment.sandbox.finish(run["upstreamId"])
        judge(deployment, f"after_{nonce}", settled_by="watcher")
        assert {sent["status"] for sent in deployment.sandbox.sent("callback")} <= {None, 200}
