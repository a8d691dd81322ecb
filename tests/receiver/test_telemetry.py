"""The metrics of the deployment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from receiver import telemetry
from storage import states
from storage.engine.database import Database
from storage.ledger import checkpoints, entries, publication
from storage.repositories import system_state
from tests import life

pytestmark = pytest.mark.anyio

ENTRY = entries.Entry(entries.Kind.RUN_STARTED, life.NOW, "run", "worker", {"via": "exec"})


async def exposed(database: Database, made: telemetry.Telemetry, second: float = 0) -> Mapping[str, float]:
    """Return the metrics at `second`; a label follows the name of its metric."""
    text, _ = await made.metrics(database, life.at(second))
    samples = [each for family in text_string_to_metric_families(text.decode()) for each in family.samples]
    return {" ".join([each.name, *each.labels.values()]): each.value for each in samples}


async def test_the_metrics_show_the_age_of_the_last_heartbeat(database: Database) -> None:
    made = telemetry.Telemetry()
    assert (await exposed(database, made))["runledger_worker_heartbeat_age_seconds"] == math.inf
    await database.write(system_state.record_heartbeat, life.NOW)
    assert (await exposed(database, made, 40))["runledger_worker_heartbeat_age_seconds"] == 40


async def test_the_metrics_show_upstream_failures_between_two_pauses_too(database: Database) -> None:
    made = telemetry.Telemetry()
    await database.write(system_state.pause, life.at(2), "429", life.NOW)
    seen = await exposed(database, made, 3)
    assert (seen["runledger_upstream_paused"], seen["runledger_upstream_pause_streak"]) == (0, 1)


async def test_the_metrics_show_how_long_an_entry_waits_for_its_number(served: Database) -> None:
    made = telemetry.Telemetry()
    assert (await exposed(served, made))["runledger_ledger_oldest_unnumbered_age_seconds"] == 0
    await served.write(entries.append, [ENTRY])
    assert (await exposed(served, made, 30))["runledger_ledger_oldest_unnumbered_age_seconds"] == 30
    await served.write(entries.number, 10)
    assert (await exposed(served, made, 30))["runledger_ledger_oldest_unnumbered_age_seconds"] == 0


async def test_the_metrics_show_what_is_signed_and_which_witness_has_not(database: Database) -> None:
    origin, made = "runledger.test/ledger", telemetry.Telemetry()
    await database.write(entries.append, [ENTRY] * 3)
    await database.write(entries.number, 10)
    await database.write(checkpoints.sign_next, origin, lambda _: ["a line"], life.NOW)
    await database.write(publication.reached, f"{publication.WITNESS}one", origin, 2, life.NOW)
    await database.write(publication.failed, f"{publication.WITNESS}two", origin, "is away", life.NOW)
    await database.write(publication.reached, publication.QUORUM, origin, 2, life.NOW)
    await database.write(publication.failed, publication.SIGNING, origin, "is an older copy", life.NOW)
    seen = await exposed(database, made, 90)
    ledger = {name.removeprefix("runledger_ledger_"): value for name, value in seen.items()}
    assert (ledger["signed_entries"], ledger["witnessed_entries"]) == (3, 2)
    assert (ledger["signing_stopped"], ledger["folder_failed"]) == (1, 0)
    assert (ledger["witness_age_seconds one"], ledger["witness_age_seconds two"]) == (90, math.inf)
    assert (ledger["witness_unsigned_entries one"], ledger["witness_unsigned_entries two"]) == (1, 3)


async def test_errors_are_counted_by_their_event_from_zero(database: Database) -> None:
    made = telemetry.Telemetry()
    assert (await exposed(database, made))["runledger_errors_total job_crashed"] == 0
    made.log.bind(kind="start").error("job_crashed")
    made.log.warning("job_failed")
    counted = {name: value for name, value in (await exposed(database, made)).items() if "errors_total" in name}
    assert {name for name, value in counted.items() if value} == {"runledger_errors_total job_crashed"}


async def test_the_counters_are_exposed_while_the_database_is_away(tmp_path: Path) -> None:
    made = telemetry.Telemetry()
    made.notified("delivered", "run", None)
    async with Database(f"sqlite:///{tmp_path}/nowhere/runledger.db") as away:
        seen = await exposed(away, made)
    assert (seen["runledger_database_up"], seen["runledger_notifications_total delivered"]) == (0, 1)
    assert "runledger_jobs_failing" not in seen


async def test_the_database_gauges_come_back_with_the_database(database: Database) -> None:
    seen = await exposed(database, telemetry.Telemetry())
    assert seen["runledger_database_up"] == 1
    assert {f"runledger_jobs_due {kind}" for kind in states.Kind} <= set(seen)
