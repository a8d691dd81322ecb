"""Keeping house, for programs."""

from __future__ import annotations

from storage import migrations
from tests.receiver.cli.desk import Desk


def test_a_migration_tells_programs_from_where_to_where(bare: Desk) -> None:
    newest = migrations.newest()
    assert bare.type("migrate", "--json").object == {"before": None, "now": newest}
    assert bare.type("migrate", "--json").object == {"before": newest, "now": newest}


def test_a_sweep_tells_programs_whether_anybody_will_do_it(desk: Desk) -> None:
    assert desk.type("sweep", "--json").object == {"wished": "sweep", "workerSeen": False}
    assert [job["kind"] for job in desk.type("jobs", "--json").objects] == ["sweep"]
