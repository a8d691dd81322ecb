"""Answers of megabytes are read in a process of their own, one at a time, and no other request is refused."""

from __future__ import annotations

import dataclasses

from receiver.upstream import large_answers
from tests import server
from tests.journeys import harness, posting
from tests.patience import until

#: Some three times as much as is read outside a process of its own.
SIZE = 3 * large_answers.THREAD_BYTES
SWITCHES = dataclasses.replace(harness.NO_FAULTS, details_padding=SIZE)


def test_large_answers_are_settled_whole_while_others_are_answered(site: server.Site, nonce: str) -> None:
    timing = {"call": 30.0, "lease": 60.0, "heartbeat": 5.0}
    with harness.opened(site, switches=SWITCHES, timing=timing) as deployment:
        submitted = [deployment.submit(f"{nonce} {number}") for number in range(3)]
        numbers = iter(range(1_000_000))

        def all_are_settled() -> bool:
            body = posting.event("run_unknown", f"evt_{nonce}_{next(numbers)}")
            sent = deployment.api.post("/webhooks/case", content=body, headers=posting.signed(deployment, body))
            assert (sent.status_code, deployment.api.get("/healthz").status_code) == (200, 200)
            return all(deployment.run(run)["status"] == "completed" for run in submitted)

        until(all_are_settled)
        for run in submitted:
            document = deployment.api.get(f"/v1/runs/{run['id']}/document")
            assert len(document.content) > SIZE
            steps = deployment.api.get(f"/v1/runs/{run['id']}/steps").json()["steps"]
            assert steps[0]["toolOutput"]["scores"][0] is None
            assert len(steps) == len(document.json()["steps"])
            assert deployment.ledger_kinds(run)[-1] == "run.completed"
