"""Log events in the documents are those that the product logs."""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator

import pytest

from receiver import telemetry
from receiver.worker import publishing
from storage.ledger import entries
from tests.deploy import files
from tests.laws import pages

LEVELS = ("debug", "info", "warning", "error")
#: Events whose names are computed, in telemetry and of checkpoints.
NOTIFIED = {f"notification_{result}" for result in telemetry.NOTIFICATION_RESULTS}


def _logged() -> Iterator[tuple[str, str]]:
    """Return level and event of every logged line with a fixed name; a level that is computed is empty."""
    for path in sorted((files.DEPLOY.parent / "receiver").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            # `log.warning("event")`, or `partial(log.warning, "event")`
            parts = [node.func, *node.args] if isinstance(node, ast.Call) else []
            for function, name in itertools.pairwise(parts[:3]):
                logger, _, level = ast.unparse(function).rpartition(".")
                if isinstance(name, ast.Constant) and (level == "log" or ("log" in logger and level in LEVELS)):
                    yield level.replace("log", ""), str(name.value)


PUBLISHED = {event for events in publishing.EVENTS.values() for event in events}
EVENTS = {event for _, event in _logged()} | {kind.value for kind in entries.Kind} | NOTIFIED | PUBLISHED
SAMPLES = [line for block in pages.blocks("operate/monitoring.md", "jsonl") for line in block.splitlines()]


def test_every_error_that_is_logged_is_counted_by_its_name() -> None:
    # request_failed is logged where no metric counts.
    errors = {event for level, event in _logged() if level == "error"} | {"notification_stopped"}
    errors.add(publishing.EVENTS["signing"][0])
    assert errors - {"request_failed"} == set(telemetry.ERRORS)


@pytest.mark.parametrize("line", SAMPLES)
def test_a_sample_of_the_log_is_a_line_as_the_product_writes_it(line: str) -> None:
    entry = json.loads(line)
    assert entry["event"] in EVENTS
    assert entry["level"] in LEVELS
    assert entry["logger"] in ("runledger", "runledger.access")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry["timestamp"])


def _named(page: str) -> set[str]:
    """Return the log events that a page names."""
    named = re.findall(r"[Ll]og(?: has|:| line| lines)? ((?:`[a-z_]+`(?:, | and )?)+)", pages.written(page))
    found = {event for each in named for event in re.findall(r"`([a-z_]+)`", each)}
    return {event for event in found if not event.startswith("runledger_")}


@pytest.mark.parametrize("page", pages.PAGES)
def test_log_events_that_a_page_names_exist(page: str) -> None:
    assert _named(page) <= EVENTS


@pytest.mark.parametrize("page", ["operate/troubleshooting.md", "operate/runbook.md"])
def test_pages_about_failures_name_log_events(page: str) -> None:
    assert _named(page)
