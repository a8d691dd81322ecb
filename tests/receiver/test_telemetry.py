"""What the house says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from receiver import telemetry
from storage import house, ledger, states
from storage.database import Database
from tests import life

pytestmark = pytest.mark.anyio

ENTRY = ledger.Entry(ledger.Kind.RUN_STARTED, life.NOW, "run", "worker", {"via": "exec"})


async def told(database: Database, made: telemetry.Telemetry, second: float = 0) -> Mapping[str, float]:
    """What the metrics say so many seconds into the story; a label stands behind its metric."""
    text, _ = await made.metrics(database, life.at(second))
    samples = [each for family in text_string_to_metric_families(text.decode()) for each in family.samples]
    return {" ".join([each.name, *each.labels.values()]): each.value for each in samples}


async def test_the_metrics_tell_how_long_ago_a_worker_was_seen(database: Database) -> None:
    made = telemetry.Telemetry()
    assert (await told(database, made))["runledger_worker_seen_seconds"] == math.inf
    await database.write(house.beat, life.NOW)
    assert (await told(database, made, 40))["runledger_worker_seen_seconds"] == 40


async def test_the_metrics_tell_of_trouble_upstream_between_two_pauses_too(database: Database) -> None:
    made = telemetry.Telemetry()
    await database.write(house.pause, life.at(2), "429", life.NOW)
    seen = await told(database, made, 3)
    assert (seen["runledger_upstream_paused"], seen["runledger_upstream_pause_streak"]) == (0, 1)


async def test_the_metrics_tell_how_long_an_entry_waits_for_its_number(database: Database) -> None:
    made = telemetry.Telemetry()
    assert (await told(database, made))["runledger_ledger_oldest_unnumbered_seconds"] == 0
    await database.write(ledger.append, [ENTRY])
    assert (await told(database, made, 30))["runledger_ledger_oldest_unnumbered_seconds"] == 30
    await database.write(ledger.number, 10)
    assert (await told(database, made, 30))["runledger_ledger_oldest_unnumbered_seconds"] == 0


async def test_errors_are_counted_by_their_event_from_zero(database: Database) -> None:
    made = telemetry.Telemetry()
    assert (await told(database, made))["runledger_errors_total job_broke"] == 0
    made.log.bind(kind="start").error("job_broke")
    made.log.warning("job_failed")
    counted = {name: value for name, value in (await told(database, made)).items() if "errors_total" in name}
    assert {name for name, value in counted.items() if value} == {"runledger_errors_total job_broke"}


async def test_the_counters_are_told_while_the_database_is_away(tmp_path: Path) -> None:
    made = telemetry.Telemetry()
    made.notified("delivered", "run", None)
    async with Database(f"sqlite:///{tmp_path}/nowhere/runledger.db") as away:
        seen = await told(away, made)
    assert (seen["runledger_database_up"], seen["runledger_notifications_total delivered"]) == (0, 1)
    assert "runledger_jobs_failing" not in seen


async def test_the_database_gauges_come_back_with_the_database(database: Database) -> None:
    seen = await told(database, telemetry.Telemetry())
    assert seen["runledger_database_up"] == 1
    assert {f"runledger_jobs_due {kind}" for kind in states.Kind} <= set(seen)
