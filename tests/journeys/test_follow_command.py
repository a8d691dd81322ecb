"""Runs as they come, on a terminal or for a program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.journeys import harness
from tests.patience import until

ROOT = Path(__file__).parent.parent.parent


def _followed(deployment: harness.Deployment, out: Path, *words: str) -> subprocess.Popen[bytes]:
    typed = [sys.executable, "-W", "error", "-m", "receiver", "runs", "--follow", "--cursor", "-1", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **deployment.server.site.environment}
    with out.open("wb") as file:
        return subprocess.Popen(typed, env=environment, stdout=file, stderr=file)


def test_new_and_changed_runs_come_as_they_happen_until_ctrl_c(
    deployment: harness.Deployment, nonce: str, tmp_path: Path
) -> None:
    programs, people = tmp_path / "programs", tmp_path / "people"
    chosen = ("--tag", f"story={nonce}")
    with (
        _followed(deployment, programs, *chosen, "--json") as for_programs,
        _followed(deployment, people, *chosen) as for_people,
    ):
        deployment.submit(f"{nonce}_other")
        run = deployment.submit(nonce, tags={"story": nonce})
        until(lambda: b'"completed"' in programs.read_bytes() and b"completed" in people.read_bytes())
        for running in (for_programs, for_people):
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 0
    lines = [json.loads(line) for line in programs.read_text().splitlines()]
    assert {each["id"] for each in lines} == {run["id"]}
    numbers = [each["change"]["number"] for each in lines]
    assert numbers == sorted(set(numbers))
    shown = people.read_text().splitlines()
    assert shown[0].split()[:3] == ["at", "run", "state"]
    assert all(run["id"] in line for line in shown[2:])


def test_a_question_with_words_is_followed_too(deployment: harness.Deployment, nonce: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with _followed(deployment, out, f"{nonce} -status:failed", "--json") as running:
        runs = [deployment.submit(nonce) for _ in range(3)]
        deployment.submit(nonce[::-1])
        until(lambda: out.read_bytes().count(b'"completed"') >= 3)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {each["id"] for each in lines} == {run["id"] for run in runs}
    numbers = [each["change"]["number"] for each in lines]
    assert numbers == sorted(set(numbers))
