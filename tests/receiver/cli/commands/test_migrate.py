"""`runledger migrate` and `runledger sweep` with `--json`."""

from __future__ import annotations

from storage.migrations import schema_version
from tests.receiver.cli.terminal import Terminal


def test_a_migration_prints_both_versions_as_json(new_terminal: Terminal) -> None:
    newest = schema_version.newest()
    assert new_terminal.type("migrate", "--json").object == {"before": None, "now": newest}
    assert new_terminal.type("migrate", "--json").object == {"before": newest, "now": newest}


def test_a_sweep_prints_whether_a_worker_was_seen(terminal: Terminal) -> None:
    assert terminal.type("sweep", "--json").object == {"enqueued": "sweep", "workerSeen": False}
    assert [job["kind"] for job in terminal.type("jobs", "--json").objects] == ["sweep"]
