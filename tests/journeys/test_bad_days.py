"""Everything at once: whatever the upstream does, each submission ends once and is executed once."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator

import pytest

from receiver.sandbox import faults
from tests.journeys import harness
from tests.journeys.conftest import Deployments, Sites
from tests.journeys.judging import judge

ROUTES = ("create", "list", "exec", "status", "details", "cancel", "watch")


def bad_day(chance: random.Random, doomed: str) -> faults.Faults:
    """A day on which anything may go wrong, and much does."""
    return faults.Faults(
        callback_body=chance.choice(faults.BODIES),
        callback_duplicates=chance.randrange(3),
        callback_drop_rate=0.3,
        callback_wrong_run_id=chance.random() < 0.3,
        callback_before_exec_answer=chance.random() < 0.3,
        event_duplicates=chance.randrange(3),
        event_drop_rate=0.3,
        fail_prompts=(doomed,),
        incomplete_fetches=chance.randrange(2),
        error_rate=dict.fromkeys(ROUTES, 0.15),
        error_status=chance.choice((500, 502, 503)),
        error_shape=chance.choice(faults.SHAPES),
        rate_limit=0.02,
        malformed=dict.fromkeys(ROUTES, 0.05),
        truncated=dict.fromkeys(ROUTES, 0.05),
        lose_answer={"create": 4, "exec": 4},
    )


@pytest.fixture(scope="module")
def deployments(sites: Sites) -> Iterator[Deployments]:
    """A server that has seen better days."""
    timing = {"sweep": 0.3, "lost_create": 60.0}
    with harness.shared(sites, lambda site: harness.opened(site, timing=timing, run_seconds=0.3)) as opened:
        yield opened


@pytest.fixture
def bad(deployments: Deployments, kind: str) -> harness.Deployment:
    return deployments(kind)


def test_with_all_faults_at_once_every_run_ends_once(bad: harness.Deployment, nonce: str) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    bad.sandbox.faults(**faults.as_json(bad_day(chance, f"fail_{nonce}")))
    copies = {f"{chance.choice(('well', 'fail'))}_{nonce}_{at}_": chance.choice((1, 1, 2)) for at in range(12)}
    for name in copies:
        objects = chance.choice((None, ["obj_1"]))
        for _ in range(copies[name]):
            bad.submit(name, objectIds=objects)
            objects = chance.choice((objects, ["obj_2"]))
    for name in copies:
        status = "failed" if name.startswith("fail") else "completed"
        judge(bad, name, status=status, records=copies[name], execs=copies[name])


def test_cancels_at_any_moment_leave_nothing_behind(bad: harness.Deployment, nonce: str) -> None:
    bad.sandbox.faults(**faults.as_json(faults.Faults(latency=0.02, lose_answer={"create": 3, "exec": 3})))
    made = [bad.submit(f"{nonce}_{at}_") for at in range(16)]
    for run in made:
        time.sleep(random.uniform(0, 0.05))  # the moment is what the story is about
        assert bad.api.post(f"/v1/runs/{run['id']}/cancel").status_code in (200, 202)
    ended = [judge(bad, f"{nonce}_{at}_", status=None, execs=None)[0]["status"] for at in range(16)]
    assert set(ended) <= {"cancelled", "completed"}
