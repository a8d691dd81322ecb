"""Removing content beside a server that goes on working."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.journeys import story
from tests.journeys.judging import judge
from tests.patience import until

ROOT = Path(__file__).parent.parent.parent


def test_content_is_removed_beside_a_running_server(house: story.House, nonce: str) -> None:
    run, other = house.submit(nonce, tags={"story": nonce}), house.submit(f"{nonce}_other")
    judge(house, nonce, records=2, execs=2)
    until(lambda: not house.server.rows("SELECT 1 FROM jobs WHERE run_id = ?", run["id"]))
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
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **house.server.site.environment}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The content of 1 runs is removed")
    shown = house.run(run)
    assert (shown["prompt"], shown["output"], shown["status"]) == (None, None, "completed")
    assert shown["stepCount"] > 0
    assert house.api.get(f"/v1/runs/{run['id']}/document").status_code == 410
    assert house.told(run)[-1] == "run.pruned"
    assert house.api.get(f"/v1/runs/{other['id']}/document").status_code == 200
