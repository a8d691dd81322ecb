"""Three roads tell that a run has ended; any one is enough, and all agree on one record."""

from __future__ import annotations

from tests.journeys import story
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Site

ENDED = ["completed", "failed", "cancelled"]


def test_the_watcher_alone_settles_a_run(house: story.House, nonce: str) -> None:
    run = house.submit(nonce, tags={"matter": "M-1"})
    assert run["status"] == "accepted"
    settled = judge(house, nonce, settled_by="watcher")[0]
    assert settled["cost_micros"] > 0
    assert settled["step_count"] >= 10
    assert [each["verdict"] for each in house.deliveries(run)] == ["accepted"]


def test_a_signed_event_alone_settles_a_run(house: story.House, nonce: str) -> None:
    house.sandbox.faults(callback_states=[], event_states=ENDED)
    run = house.submit(nonce)
    judge(house, nonce, settled_by="platform")
    delivery = house.deliveries(run)[0]
    assert (delivery["road"], delivery["verdict"]) == ("platform", "accepted")
    assert delivery["secret_used"]


def test_the_sweep_alone_settles_a_run(swept_house: story.House, nonce: str) -> None:
    swept_house.sandbox.faults(callback_states=[])
    run = swept_house.submit(nonce)
    judge(swept_house, nonce, settled_by="sweep")
    assert swept_house.deliveries(run) == []


def test_all_roads_at_once_agree_on_one_record(swept_house: story.House, nonce: str) -> None:
    swept_house.sandbox.faults(event_states=ENDED, callback_duplicates=2, event_duplicates=2)
    run = swept_house.submit(nonce)
    judge(swept_house, nonce)
    until(lambda: len(swept_house.deliveries(run)) == 6)
    assert sorted((each["road"], each["verdict"]) for each in swept_house.deliveries(run)) == [
        ("platform", "accepted"),
        *[("platform", "duplicate")] * 2,
        ("watcher", "accepted"),
        *[("watcher", "duplicate")] * 2,
    ]
    judge(swept_house, nonce)


def test_a_failed_run_is_settled_with_a_reason(house: story.House, nonce: str) -> None:
    house.sandbox.faults(fail_prompts=[nonce], callback_body="rich")
    house.submit(nonce)
    settled = judge(house, nonce, status="failed", settled_by="watcher")[0]
    assert settled["failure_reason"]
    assert settled["failure_source"]


def test_without_a_public_address_the_sweep_settles_everything(site: Site, nonce: str) -> None:
    with story.opened(site, timing={"sweep_alone": 0.2}, public_url="") as house:
        runs = [house.submit(nonce) for _ in range(5)]
        judge(house, nonce, settled_by="sweep", records=5, execs=5)
        assert not any(run["watchers"] for run in house.named(nonce))
        assert {house.run(run)["watched"] for run in runs} == {False}
