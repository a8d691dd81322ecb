"""A witness outside signs what a server has signed, and is missed while it does not."""

from __future__ import annotations

from collections.abc import Callable

import httpx2 as httpx

from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from receiver.verifier.store import signatures, verification
from tests import witness
from tests.journeys import harness
from tests.patience import until
from tests.server import Site
from tests.tamper import opened

#: A witness is asked all the time, and after a failure soon.
TIMING = {"witness": 0.2, "witness_backoff": 0.1, "witness_backoff_most": 0.2}
SILENT = "runledger_ledger_witness_unsigned_entries"


def test_a_witness_that_goes_away_is_missed_and_signs_once_it_is_back(
    kind: str, sites: Callable[[str], Site], nonce: str
) -> None:
    site = sites(kind)
    outside = witness.Witness(log_keys.parse(site.ledger_keys).verifier, opened.WITNESS)
    with witness.running(outside):
        listed = f"{outside.url} {outside.key.verifier_key}"
        with harness.opened(site, timing=TIMING, ledger_witnesses=listed) as deployment:
            policy = public_forms.parse_policy(deployment.api.get("/v1/ledger/policy").content)
            deployment.until_run(deployment.submit(nonce), "completed")
            until(lambda: _is_witnessed(deployment.api, policy), why="no checkpoint was cosigned")
            outside.fault = "down"
            run = deployment.submit(f"{nonce} again")
            deployment.until_run(run, "completed")
            until(lambda: _metric(deployment.api, SILENT) > 0, why="nobody missed the witness")
            assert _metric(deployment.api, "runledger_ledger_witness_age_seconds") > 0
            outside.fault, outside.seen = "", None  # it lost its memory: its answer is 409, with another size
            until(lambda: _metric(deployment.api, SILENT) == 0, why="the witness did not catch up")
            until(lambda: _is_witnessed(deployment.api, policy), why="the newest checkpoint was not cosigned")
    with opened.connection(site.url) as connection:
        report = verification.verify(connection, signatures.Trusted(policy, ed25519.verify))
    assert (report.is_ok, report.unchecked) == (True, [])


def _is_witnessed(api: httpx.Client, policy: public_forms.Policy) -> bool:
    """Return whether the newest checkpoint has the signatures that the policy demands."""
    answer = api.get("/v1/ledger/checkpoint")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return False
    try:
        trusted = public_forms.trust(public_forms.parse_checkpoint(answer.content), policy, ed25519.verify)
    except public_forms.Refused:
        return False
    return len(trusted.witnesses) == 1


def _metric(api: httpx.Client, name: str) -> float:
    """Return the value of the witness's series of a metric; -1 before there is one."""
    lines = api.get("/metrics").raise_for_status().text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")), -1.0)
