"""SIGKILL before and after the commit of an erasure; asked for again, it must be complete and recorded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.faults.conftest import Sites
from tests.faults.test_kill_points import SIDES, Submission, Survivor, surviving
from tests.journeys import harness

Survivors = Callable[[str], Survivor]
ERASED = "SELECT count(*) AS n FROM ledger_entries WHERE kind = 'content.erased' AND run_id = ?"


@pytest.fixture(scope="module")
def survivors(sites: Sites) -> Iterator[Survivors]:
    with harness.shared(sites, surviving) as opened:
        yield opened


def erase(submission: Submission) -> int | None:
    """Return how many runs an erasure removed the content of; None where the server died."""
    run_id = submission.record()["id"]
    try:
        with submission.server.client() as client:
            answer = client.post(f"/v1/runs/{run_id}/erase", json={"reason": "Request 7"})
    except httpx.TransportError:
        return None
    return int(answer.raise_for_status().json()["runs"])


def stored(folder: Path, text: str) -> list[str]:
    """Return the files of the database in which a text stands."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("runledger.db")}
    return [name for name, held in files.items() if text.encode() in held]


@pytest.mark.parametrize("side", SIDES)
def test_a_kill_at_an_erasure_leaves_all_or_nothing_and_asking_again_completes_it(
    survivors: Survivors, kind: str, side: str
) -> None:
    survivor = survivors(kind)
    survivor.revive()
    submission = Submission(survivor)
    submission.run()
    survivor.server.die_at(f"{side} commit erase_run")
    assert erase(submission) is None
    was_erased = submission.rows(ERASED)[0]["n"]
    assert was_erased == (0 if side == "before" else 1)
    assert (submission.record()["prompt"] is None) == bool(was_erased)
    survivor.server.die_at(None)
    survivor.revive()
    assert erase(submission) == 1 - was_erased
    assert submission.rows(ERASED)[0]["n"] == 1
    assert submission.rows("SELECT count(*) AS n FROM run_steps WHERE run_id = ?")[0]["n"] == 0
    assert kind == "postgresql" or not stored(survivor.server.folder, submission.body["prompt"])
