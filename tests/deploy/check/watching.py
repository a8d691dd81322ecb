"""Prometheus: rules, their tests, configuration, the dashboard's queries; and a real one that scrapes a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2 as httpx
import yaml

from tests import server
from tests.deploy import files
from tests.deploy.check import deployment, tools
from tests.patience import until


def rules(_folder: Path) -> str:
    """Check that alerts and configuration are valid, and that the alerts pass their tests."""
    tools.run(["promtool", "check", "rules", files.DEPLOY / "alerts.yml"])
    tools.run(["promtool", "test", "rules", files.DEPLOY / "alerts.test.yml"])
    tools.run(["promtool", "check", "config", files.DEPLOY / "prometheus.yml"])
    return f"{len(files.alerts())} alerts"


def dashboard(folder: Path) -> str:
    """Check that each query of the dashboard is valid."""
    asked = [target["expr"] for panel in files.panels() for target in panel["targets"]]
    plain = [each.replace("$__rate_interval", "5m").replace("$job", "runledger") for each in asked]
    recorded = [{"record": f"panel:number{number}", "expr": each} for number, each in enumerate(plain)]
    path = folder / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    tools.run(["promtool", "check", "rules", path])
    return f"{len(asked)} questions"


def scraping(folder: Path) -> str:
    """Run a Prometheus with our configuration that scrapes a server, and evaluate every alert."""
    with deployment.running(folder / "deployment", RUNLEDGER_METRICS="open") as one:
        config = files.text("prometheus.yml").replace("15s", "1s")
        config = config.replace('"runledger-1:8080", "runledger-2:8080"', f'"127.0.0.1:{one.port}"')
        (folder / "prometheus.yml").write_text(config)
        (folder / "alerts.yml").write_text(files.text("alerts.yml"))
        port = server.free_port()
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with tools.started(command, folder / "prometheus.log", tools.environment(), folder):
            base = f"http://127.0.0.1:{port}/api/v1"
            until(lambda: _result(base, "runledger_build_info"), why="Prometheus took no metrics")
            until(lambda: _evaluated(base), why="not every alert was evaluated well")
            samples = _result(base, 'count({__name__=~"runledger_.+"})')[0]["value"][1]
    return f"{samples} series"


def _ask(base: str, path: str, **parameters: str) -> Any:
    try:
        answer = httpx.get(f"{base}/{path}", params=parameters, timeout=5)
    except httpx.TransportError:
        return None
    return answer.json()["data"] if answer.status_code == 200 else None


def _result(base: str, query: str) -> list[Any]:
    answer = _ask(base, "query", query=query)
    found: list[Any] = answer["result"] if answer else []
    return found


def _evaluated(base: str) -> bool:
    answer = _ask(base, "rules")
    health = [rule["health"] for group in answer["groups"] for rule in group["rules"]] if answer else []
    if "err" in health:
        raise tools.Failed(json.dumps(answer, indent=1))
    return len(health) == len(files.alerts()) and set(health) == {"ok"}
