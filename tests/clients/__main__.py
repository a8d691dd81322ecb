"""Clients that other people's generators make of the OpenAPI description: made without a warning, and used.

It exits with 1 where a generator warns, a compiler refuses, or a client cannot submit a run.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests import server
from tests.deploy.check.tools import ROOT, Failed, run

HERE = ROOT / "tests" / "clients"
BIN = ROOT / ".venv-clients" / "bin"
#: What each client prints of the run that it has submitted.
EXPECTED = "accepted Review the lease."


def main() -> int:
    """Run all of it, a line each."""
    started = time.monotonic()
    try:
        _demand_node()
        with tempfile.TemporaryDirectory() as folder:
            _all(Path(folder))
    except Failed as failed:
        print(f"FAILED: {failed}")
        return 1
    print(f"all hold, in {time.monotonic() - started:.0f} s")
    return 0


def _demand_node() -> None:
    """Install Node where this is root on Debian. Raise Failed with what is missing."""
    if shutil.which("node") and shutil.which("npm"):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Failed("Node is not installed. On Debian: apt-get install nodejs npm")
    run(["apt-get", "update", "--quiet"])
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "nodejs", "npm"]
    run(install, DEBIAN_FRONTEND="noninteractive")


def _all(folder: Path) -> None:
    (folder / "site").mkdir()
    with server.running(server.Site(folder / "site"), "http://127.0.0.1:9", pages="off") as served:
        with served.client() as client:
            (folder / "api.json").write_bytes(client.get("/openapi.json").content)
        os.environ |= {"RUNLEDGER_URL": served.url, "RUNLEDGER_API_KEY": served.key}
        for name, said in (("python", _python(folder)), ("typescript", _typescript(folder))):
            if said != EXPECTED:
                raise Failed(f"the {name} client said {said!r}")
            print(f"{name}: generated without a warning, compiled, a run submitted and read")


def _python(folder: Path) -> str:
    made, path = folder / "python" / "made", f"{BIN}{os.pathsep}{os.environ['PATH']}"
    made.parent.mkdir()
    program, config = BIN / "openapi-python-client", ("--config", HERE / "python.yml", "--fail-on-warning")
    place = ("--path", folder / "api.json", "--output-path", made)
    run([program, "generate", *place, *config, "--meta", "none"], PATH=path)
    run([BIN / "python", "-m", "compileall", "-q", made])
    return run([BIN / "python", HERE / "submit.py"], PYTHONPATH=str(made.parent))


def _typescript(folder: Path) -> str:
    place = folder / "typescript"
    place.mkdir()
    (place / "package.json").write_text('{"type": "module"}')
    shutil.copy(HERE / "submit.ts", place)
    packages = (HERE / "packages.txt").read_text().split()
    run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--save-exact", *packages], cwd=place)
    made = run(["npx", "openapi-typescript", folder / "api.json", "--output", "api.d.ts"], cwd=place)
    if "warn" in made.lower():
        raise Failed(made)
    form = ["--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022"]
    run(["npx", "tsc", "--strict", *form, "submit.ts"], cwd=place)
    return run(["node", "submit.js"], cwd=place)


if __name__ == "__main__":
    sys.exit(main())
