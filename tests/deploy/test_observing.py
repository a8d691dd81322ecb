"""Alerts, runbook and dashboard use metrics that exist, and name each other correctly."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from receiver import telemetry
from storage import states
from storage.engine.database import Database
from storage.engine.writer import CommitBatch
from storage.ledger import entries, publication
from tests import life
from tests.deploy import files
from tests.laws import pages

pytestmark = pytest.mark.anyio

#: Labels that Prometheus adds to every sample.
ITS_OWN = {"job", "instance"}
_SELECTOR = re.compile(r"\b(up|(?:runledger|process)_\w+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|without|on) \(([^)]*)\)")
_ENTRY = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
ALERTS = {rule["alert"]: rule for rule in files.alerts()}
ENTRIES = dict(_ENTRY.findall(pages.text("operate/runbook.md").partition("## The alerts")[2]))


@pytest.fixture
async def exposed(database: Database) -> Mapping[str, set[str]]:
    """Return the names and labels of all samples of /metrics after each event has happened once."""
    made = telemetry.Telemetry()
    made.settled(await life.settled_run(database), states.Source.WATCHER, life.NOW)
    made.rejected(states.Source.WATCHER, "unknown token")
    made.called("details", 200, 0.1, {}, life.NOW)
    made.skipped("type")
    end = entries.Entry(entries.Kind.RUN_COMPLETED, life.NOW, "run", "upstream", {"settledBy": "watcher"})
    made.committed(CommitBatch("after", ("accept_delivery",), 0.01, (), (entries.Appended(end, 0),)))
    await database.write(publication.reached, f"{publication.WITNESS}one", "a ledger", 1, life.NOW)
    shown, _ = await made.metrics(database, life.NOW)
    samples = [each for family in text_string_to_metric_families(shown.decode()) for each in family.samples]
    return {each.name: set(each.labels) for each in samples} | {"up": set()}


def _labels(matchers: str) -> set[str]:
    """Return the labels that a selector compares, without the dashboard's variables."""
    return set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


async def test_alerts_and_dashboard_ask_for_metrics_that_are_exposed(exposed: Mapping[str, set[str]]) -> None:
    asked = {name for _, expression in files.expressions() for name, _ in _SELECTOR.findall(expression)}
    assert not asked - set(exposed)


async def test_alerts_and_dashboard_ask_for_labels_that_the_metrics_have(
    exposed: Mapping[str, set[str]],
) -> None:
    for asker, expression in files.expressions():
        selectors = _SELECTOR.findall(expression)
        for name, matchers in selectors:
            assert _labels(matchers) <= exposed[name] | ITS_OWN, asker
        grouped = {label.strip() for labels in _GROUPED.findall(expression) for label in labels.split(",")} - {""}
        assert grouped <= ITS_OWN.union(*(exposed[name] for name, _ in selectors)), asker


async def test_the_tests_of_the_alerts_use_series_that_are_exposed(exposed: Mapping[str, set[str]]) -> None:
    series = [each["series"] for test in files.read("alerts.test.yml")["tests"] for each in test["input_series"]]
    for name, matchers in (found for each in series for found in _SELECTOR.findall(each)):
        assert _labels(matchers) <= exposed[name] | ITS_OWN, name


async def test_every_metric_of_ours_is_on_the_dashboard(exposed: Mapping[str, set[str]]) -> None:
    asked = [target["expr"] for panel in files.panels() for target in panel["targets"]]
    shown = {_family(name) for expression in asked for name, _ in _SELECTOR.findall(expression)}
    assert not {_family(name) for name in exposed if name.startswith("runledger_")} - shown


async def test_metrics_that_a_page_names_are_exposed(
    exposed: Mapping[str, set[str]], subtests: pytest.Subtests
) -> None:
    for page in pages.PAGES:
        with subtests.test(f"{page!r:.60}"):
            named = {_family(name) for name in re.findall(r"`(runledger_\w+)", pages.written(page))}
            assert named <= {_family(name) for name in exposed}


def _family(name: str) -> str:
    """Return the metric to which a sample belongs."""
    return re.sub(r"_(bucket|sum|count|total)$", "", name)


def test_alerts_ask_for_events_that_are_counted() -> None:
    asked = {event for _, asks in files.expressions() for event in re.findall(r'event!?="(\w+)"', asks)}
    assert asked <= set(telemetry.ERRORS)


def test_every_alert_has_an_entry_in_the_runbook_and_every_entry_an_alert() -> None:
    assert list(ENTRIES) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook"] == f"docs/operate/runbook.md#{name.lower()}"


@pytest.mark.parametrize("name", ALERTS)
def test_an_entry_of_the_runbook_tells_symptom_meaning_action_and_check(name: str) -> None:
    headings = re.findall(r"^- \*\*([\w ]+)\.\*\*", ENTRIES[name], re.MULTILINE)
    assert " ".join(headings).replace(" and action", " Action") == "Symptom Meaning Action Check"


def test_the_runbook_explains_every_event_that_is_logged_as_an_error() -> None:
    listed = set(re.findall(r"^\| `(\w+)`", ENTRIES["RunledgerErrors"], re.MULTILINE))
    assert listed | {"delivery_commit_failed"} == set(telemetry.ERRORS)


def test_every_alert_is_seen_firing_and_keeping_quiet_in_its_tests() -> None:
    tried = [each for test in files.read("alerts.test.yml")["tests"] for each in test["alert_rule_test"]]
    assert {each["alertname"] for each in tried if each["exp_alerts"]} == set(ALERTS)
    assert {each["alertname"] for each in tried if not each["exp_alerts"]} == set(ALERTS)


def test_the_dashboard_can_be_imported_anywhere() -> None:
    board = files.read("dashboard.json")
    assert board["templating"]["list"][0]["type"] == "datasource"
    sources = [each["datasource"] for panel in files.panels() for each in (panel, *panel["targets"])]
    assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in sources)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert "id" not in board


def test_no_panel_overlaps_another_or_the_edge() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in files.read("dashboard.json")["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_alerts_that_the_dashboard_speaks_of_are_there() -> None:
    named = re.findall(r"Runledger[A-Z]\w+", files.text("dashboard.json"))
    assert set(named) <= set(ALERTS)
