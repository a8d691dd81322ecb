"""An upstream that will not have our callback address, and a server that was given no webhook secret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys import harness, posting
from tests.journeys.conftest import Deployments, Sites
from tests.journeys.judging import judge


@pytest.fixture(scope="module")
def deployments(sites: Sites) -> Iterator[Deployments]:
    """A server whose addresses the upstream takes for private."""
    with harness.shared(
        sites, lambda site: harness.opened(site, timing={"sweep": 0.2}, public_only=True)
    ) as opened:
        yield opened


@pytest.fixture
def unreachable(deployments: Deployments, kind: str) -> harness.Deployment:
    return deployments(kind)


def test_a_run_is_created_without_the_address_that_was_refused(
    unreachable: harness.Deployment, nonce: str
) -> None:
    run = unreachable.submit(nonce)
    judge(unreachable, nonce, settled_by="sweep")
    assert unreachable.run(run)["watched"] is False
    assert ["callbackUrl" in call["body"] for call in unreachable.calls("create", nonce)] == [True, False]
    assert f'"run_id": "{run["id"]}"' in _warning(unreachable, run)


def test_an_adopted_run_is_followed_without_a_watcher(unreachable: harness.Deployment, nonce: str) -> None:
    upstream_id = unreachable.elsewhere(nonce)
    run = unreachable.adopt(upstream_id)
    unreachable.until_run(run, "queued")
    unreachable.execute(upstream_id)
    judge(unreachable, nonce, settled_by="sweep")
    assert _warning(unreachable, run)


def _warning(deployment: harness.Deployment, run: harness.Row) -> str:
    lines = deployment.server.log.read_text().splitlines()
    return next(line for line in lines if "callback_url_refused" in line and run["id"] in line)


def test_without_a_secret_events_are_left_to_be_sent_again(unreachable: harness.Deployment, nonce: str) -> None:
    body = posting.event("run_1", f"evt_{nonce}")
    answer = posting.post_event(unreachable, body, posting.signed(unreachable, body, key=posting.ANY_KEY))
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    kept = unreachable.server.rows("SELECT body, verdict FROM deliveries WHERE source = 'platform'")
    # As a rejected one it is kept a moment later, to be checked again.
    assert {row["verdict"] for row in kept if nonce.encode() in row["body"]} <= {"rejected"}
