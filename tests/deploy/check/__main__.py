"""Run every check in turn and print a line each; exit with 1 where one failed."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.deploy.check import composition, container, pooling, proxy, rolling, tools, units, watching

CHECKS: dict[str, Callable[[Path], str]] = {
    "promtool: alerts, their tests, configuration": watching.rules,
    "promtool: the dashboard's questions": watching.dashboard,
    "Prometheus takes the metrics of a server": watching.scraping,
    "caddy validate, caddy fmt": proxy.written,
    "Caddy in front of two replicas": proxy.standing,
    "replicas on PostgreSQL, restarted in turn": rolling.upgraded,
    "PostgreSQL behind PgBouncer": pooling.settled,
    "systemd-analyze verify, security": units.verified,
    "compose file by its schema": composition.schema,
    "the Dockerfile's steps, its command": container.built,
}


def main() -> int:
    """Run the checks whose names contain one of the given words; all of them without words."""
    tools.demand()
    wanted = sys.argv[1:]
    chosen = {name: check for name, check in CHECKS.items() if not wanted or any(word in name for word in wanted)}
    failed = sum(not _holds(name, check) for name, check in chosen.items())
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _holds(name: str, check: Callable[[Path], str]) -> bool:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            message = check(Path(folder))
        except (tools.Failed, AssertionError) as failure:
            print(f"FAILED  {name}\n{failure}", flush=True)
            return False
    print(f"ok      {name:46} {message} ({time.monotonic() - started:.1f} s)", flush=True)
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except tools.Failed as missing:
        sys.exit(f"deploy-check: {missing}")
