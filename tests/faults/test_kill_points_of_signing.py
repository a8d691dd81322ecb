"""SIGKILL before and after the commit of a checkpoint; then all checkpoints must be of one history."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from storage import merkle
from tests.faults.conftest import Sites
from tests.faults.test_kill_points import SIDES, Submission, Survivor, surviving
from tests.journeys import harness
from tests.patience import until

Survivors = Callable[[str], Survivor]


@pytest.fixture(scope="module")
def survivors(sites: Sites) -> Iterator[Survivors]:
    with harness.shared(sites, surviving) as opened:
        yield opened


def leaves(submission: Submission) -> list[bytes]:
    """Return the hashes of all entries that have a number."""
    numbered = "SELECT leaf_hash FROM ledger_entries WHERE leaf_index IS NOT NULL ORDER BY leaf_index"
    return [bytes(row["leaf_hash"]) for row in submission.server.rows(numbered)]


def notes(submission: Submission) -> list[public_forms.Checkpoint]:
    """Return the stored checkpoints, smallest first."""
    rows = submission.server.rows("SELECT note FROM ledger_checkpoints ORDER BY size")
    return [public_forms.parse_checkpoint(row["note"].encode()) for row in rows]


@pytest.mark.parametrize("side", SIDES)
def test_a_kill_while_a_checkpoint_is_signed_leaves_one_history(
    survivors: Survivors, kind: str, side: str
) -> None:
    survivor = survivors(kind)
    survivor.revive()
    submission = Submission(survivor)
    submission.die_at(f"{side} commit sign_next")
    submission.judge()
    until(lambda: notes(submission)[-1:] and notes(submission)[-1].size == len(leaves(submission)), why="unsigned")
    key = log_keys.parse(survivor.server.site.ledger_keys).verifier_key
    policy = public_forms.parse_policy(f"log {key}\nquorum none\n".encode())
    hashed = leaves(submission)
    for each in notes(submission):
        assert each.root == merkle.root(hashed[: each.size])
        assert public_forms.trust(each, policy, ed25519.verify).logs == ["runledger.test/ledger"]
