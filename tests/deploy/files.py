"""The files of deploy/, parsed as their own programs parse them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
#: Files that other programs read as YAML.
YAML = ("alerts.yml", "alerts.test.yml", "compose.yaml", "litestream.yml", "prometheus.yml")
UNITS = ("runledger.service", "runledger-worker.service")
#: A block of a page, by its language.
_BLOCK = r"^```{}\n(.*?)^```"


def text(name: str) -> str:
    """Return the text of a file."""
    return (DEPLOY / name).read_text()


def read(name: str) -> Any:
    """Return the content of a YAML or JSON file."""
    return json.loads(text(name)) if name.endswith(".json") else yaml.safe_load(text(name))


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in a given language."""
    return re.findall(_BLOCK.format(language), text(page), re.MULTILINE | re.DOTALL)


def alerts() -> list[dict[str, Any]]:
    """Return the rules of alerts.yml, in order."""
    return [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show data."""
    return [panel for panel in read("dashboard.json")["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Return every query of the alerts and the dashboard, with its name."""
    yield from ((rule["alert"], rule["expr"]) for rule in alerts())
    yield from ((panel["title"], target["expr"]) for panel in panels() for target in panel["targets"])


def services() -> dict[str, dict[str, Any]]:
    """Return the services of compose.yaml."""
    found: dict[str, dict[str, Any]] = read("compose.yaml")["services"]
    return found


def unit(name: str) -> dict[str, list[str]]:
    """Return the lines of a unit by their names; a name may occur several times."""
    found: dict[str, list[str]] = {}
    for line in text(name).splitlines():
        key, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found
