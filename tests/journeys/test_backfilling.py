"""A backfill beside a running server: the command walks the list, the server fetches."""

from __future__ import annotations

import json
from pathlib import Path

from tests.journeys import story
from tests.journeys.judging import judge
from tests.receiver.cli import desk


def test_the_server_fetches_what_a_backfill_finds(house: story.House, nonce: str, tmp_path: Path) -> None:
    agent = house.upstream.post("/agent/v1/agents", json={"name": "Past", "instructions": "Work."}).json()["id"]
    past = house.sandbox.past(3, agentId=agent, prompt=nonce)
    ours = {"RUNLEDGER_DATA_DIR": str(house.server.folder)}
    theirs = {"CASEDEV_BASE_URL": house.sandbox.url, "CASEDEV_API_KEY": "sk_case_test"}
    shown = desk.process("backfill", "--agent", agent, "--json", folder=tmp_path, **ours, **theirs)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["stored"] == 3
    found = judge(house, nonce, settled_by="sweep", records=3, execs=3)
    assert {run["upstream_id"] for run in found} == set(past)
    assert len(house.calls("details", nonce)) == 3
