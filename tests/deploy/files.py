"""What stands in deploy/, read as its own programs read it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
#: Those that other programs read as YAML.
YAML = ("alerts.yml", "alerts.test.yml", "compose.yaml", "litestream.yml", "prometheus.yml")
UNITS = ("runledger.service", "runledger-worker.service")
#: A block of a page, by its language.
_BLOCK = r"^```{}\n(.*?)^```"


def text(name: str) -> str:
    """A file as it stands."""
    return (DEPLOY / name).read_text()


def read(name: str) -> Any:
    """A file of YAML or JSON."""
    return json.loads(text(name)) if name.endswith(".json") else yaml.safe_load(text(name))


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page that are in a language."""
    return re.findall(_BLOCK.format(language), text(page), re.MULTILINE | re.DOTALL)


def alerts() -> list[dict[str, Any]]:
    """The rules of alerts.yml, in order."""
    return [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    return [panel for panel in read("dashboard.json")["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every question that the alerts and the dashboard ask Prometheus, with who asks it."""
    yield from ((rule["alert"], rule["expr"]) for rule in alerts())
    yield from ((panel["title"], target["expr"]) for panel in panels() for target in panel["targets"])


def services() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml."""
    found: dict[str, dict[str, Any]] = read("compose.yaml")["services"]
    return found


def unit(name: str) -> dict[str, list[str]]:
    """The lines of a unit by their names; a name may stand there several times."""
    found: dict[str, list[str]] = {}
    for line in text(name).splitlines():
        key, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found
