"""Remove content while a server goes on working."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until

ROOT = Path(__file__).parent.parent.parent


def test_content_is_removed_next_to_a_running_server(deployment: harness.Deployment, nonce: str) -> None:
    run, other = deployment.submit(nonce, tags={"story": nonce}), deployment.submit(f"{nonce}_other")
    judge(deployment, nonce, records=2, execs=2)
    until(lambda: not deployment.server.rows("SELECT 1 FROM jobs WHERE run_id = ?", run["id"]))
    words = [
        sys.executable,
        "-m",
        "receiver",
        "prune",
        "--settled-before",
        "0s",
        "--tag",
        f"story={nonce}",
        "--yes",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **deployment.server.site.environment}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The content of 1 run is removed")
    shown = deployment.run(run)
    assert (shown["prompt"], shown["output"], shown["status"]) == (None, None, "completed")
    assert shown["stepCount"] > 0
    assert deployment.api.get(f"/v1/runs/{run['id']}/document").status_code == 410
    assert deployment.ledger_kinds(run)[-1] == "content.erased"
    assert deployment.api.get(f"/v1/runs/{other['id']}/document").status_code == 200
