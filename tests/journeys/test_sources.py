"""Three sources report that a run has ended; any one is enough, and all agree on one record."""

from __future__ import annotations

from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Site

ENDED = ["completed", "failed", "cancelled"]


def test_the_watcher_alone_settles_a_run(deployment: harness.Deployment, nonce: str) -> None:
    run = deployment.submit(nonce, tags={"matter": "M-1"})
    assert run["status"] == "accepted"
    settled = judge(deployment, nonce, settled_by="watcher")[0]
    assert settled["cost_micros"] > 0
    assert settled["step_count"] >= 10
    assert [each["verdict"] for each in deployment.deliveries(run)] == ["accepted"]


def test_a_signed_event_alone_settles_a_run(deployment: harness.Deployment, nonce: str) -> None:
    deployment.sandbox.faults(callback_states=[], event_states=ENDED)
    run = deployment.submit(nonce)
    judge(deployment, nonce, settled_by="platform")
    delivery = deployment.deliveries(run)[0]
    assert (delivery["source"], delivery["verdict"]) == ("platform", "accepted")
    assert delivery["secret_used"]


def test_the_sweep_alone_settles_a_run(swept_deployment: harness.Deployment, nonce: str) -> None:
    swept_deployment.sandbox.faults(callback_states=[])
    run = swept_deployment.submit(nonce)
    judge(swept_deployment, nonce, settled_by="sweep")
    assert swept_deployment.deliveries(run) == []


def test_all_sources_at_once_agree_on_one_record(swept_deployment: harness.Deployment, nonce: str) -> None:
    swept_deployment.sandbox.faults(event_states=ENDED, callback_duplicates=2, event_duplicates=2)
    run = swept_deployment.submit(nonce)
    judge(swept_deployment, nonce)
    until(lambda: len(swept_deployment.deliveries(run)) == 6)
    assert sorted((each["source"], each["verdict"]) for each in swept_deployment.deliveries(run)) == [
        ("platform", "accepted"),
        *[("platform", "duplicate")] * 2,
        ("watcher", "accepted"),
        *[("watcher", "duplicate")] * 2,
    ]
    judge(swept_deployment, nonce)


def test_a_failed_run_is_settled_with_a_reason(deployment: harness.Deployment, nonce: str) -> None:
    deployment.sandbox.faults(fail_prompts=[nonce], callback_body="rich")
    deployment.submit(nonce)
    settled = judge(deployment, nonce, status="failed", settled_by="watcher")[0]
    assert settled["failure_reason"]
    assert settled["failure_source"]


def test_without_a_public_address_the_sweep_settles_everything(site: Site, nonce: str) -> None:
    with harness.opened(site, timing={"sweep_only": 0.2}, public_url="") as deployment:
        runs = [deployment.submit(nonce) for _ in range(5)]
        judge(deployment, nonce, settled_by="sweep", records=5, execs=5)
        assert not any(run["watchers"] for run in deployment.named(nonce))
        assert {deployment.run(run)["watched"] for run in runs} == {False}
