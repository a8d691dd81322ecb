"""SIGKILL before and after the commits of a bulk action; then each of its runs must have been handled once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.faults.conftest import Sites
from tests.faults.test_kill_points import SIDES, Survivor, surviving
from tests.journeys import harness
from tests.patience import until

COMMITS = ("claim[bulk]", "handle_part")
RUNS = 30

Survivors = Callable[[str], Survivor]


@pytest.fixture(scope="module")
def survivors(sites: Sites) -> Iterator[Survivors]:
    with harness.shared(sites, surviving) as opened:
        yield opened


def asked(survivor: Survivor, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Return the answer of a server that is started where it is dead; None where there is none."""
    survivor.revive()
    try:
        with survivor.server.client() as client:
            answer: dict[str, Any] = client.request(method, path, json=body).raise_for_status().json()
    except httpx.TransportError:
        return None
    return answer


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", COMMITS)
def test_a_kill_at_any_commit_of_a_bulk_action_submits_each_run_again_once(
    survivors: Survivors, kind: str, name: str, side: str
) -> None:
    survivor, nonce = survivors(kind), secrets.token_hex(8)
    body = {"agentId": survivor.agent, "prompt": f"Read it. {nonce}", "tags": {"nonce": nonce}}
    first = [asked(survivor, "POST", "/v1/runs", body) for _ in range(RUNS)]
    starts = survivor.server.starts
    survivor.server.die_at(f"{side} commit {name}")
    made = asked(survivor, "POST", "/v1/bulk", {"action": "again", "q": f"tag.nonce:{nonce}"})
    assert made is not None

    def is_over() -> bool:
        found = asked(survivor, "GET", f"/v1/bulk/{made['id']}")
        return found is not None and found["state"] == "finished"

    until(is_over, why="the action never ended")
    assert survivor.server.starts == starts + 1
    rows = survivor.server.rows(
        "SELECT again_of FROM runs WHERE again_of IS NOT NULL AND prompt = ?", body["prompt"]
    )
    assert sorted(row["again_of"] for row in rows) == sorted(each["id"] for each in first if each)
