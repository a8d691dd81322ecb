"""An upstream that will not have our callback address, and a server that was given no webhook secret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys import posting, story
from tests.journeys.conftest import Houses, Sites
from tests.journeys.judging import judge


@pytest.fixture(scope="module")
def houses(sites: Sites) -> Iterator[Houses]:
    """A server whose addresses the upstream takes for private."""
    with story.shared(sites, lambda site: story.opened(site, timing={"sweep": 0.2}, public_only=True)) as opened:
        yield opened


@pytest.fixture
def unheard(houses: Houses, kind: str) -> story.House:
    return houses(kind)


def test_a_run_is_created_without_the_address_that_was_refused(unheard: story.House, nonce: str) -> None:
    run = unheard.submit(nonce)
    judge(unheard, nonce, settled_by="sweep")
    assert unheard.run(run)["watched"] is False
    assert ["callbackUrl" in call["body"] for call in unheard.calls("create", nonce)] == [True, False]
    assert f'"run_id": "{run["id"]}"' in _warning(unheard, run)


def test_an_adopted_run_is_followed_without_a_watcher(unheard: story.House, nonce: str) -> None:
    upstream_id = unheard.elsewhere(nonce)
    run = unheard.adopt(upstream_id)
    unheard.until_run(run, "queued")
    unheard.execute(upstream_id)
    judge(unheard, nonce, settled_by="sweep")
    assert _warning(unheard, run)


def _warning(house: story.House, run: story.Row) -> str:
    lines = house.server.log.read_text().splitlines()
    return next(line for line in lines if "callback_refused" in line and run["id"] in line)


def test_without_a_secret_events_are_left_to_be_sent_again(unheard: story.House, nonce: str) -> None:
    body = posting.event("run_1", f"evt_{nonce}")
    answer = posting.post_event(unheard, body, posting.signed(unheard, body, key=posting.ANY_KEY))
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    kept = unheard.server.rows("SELECT body, verdict FROM deliveries WHERE road = 'platform'")
    # As a rejected one it is kept a moment later, to be checked again.
    assert {row["verdict"] for row in kept if nonce.encode() in row["body"]} <= {"rejected"}
