"""The verifiers that others wrote: what each says of a leaf, a proof and a policy."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.deploy.check.tools import ROOT, Failed, run
from tests.vectors.ledger.cases import Case

HERE = ROOT / "tests" / "outsiders"
BIN = ROOT / ".venv-outsiders" / "bin"
#: Debian's packages of Go and of its checksum database.
PACKAGES = ("golang-go", "golang-golang-x-mod-dev")
LIBRARIES = Path("/usr/share/gocode")


def demand_go() -> None:
    """Install Go and its libraries where this is root on Debian. Raise Failed with what is missing."""
    if shutil.which("go") and (LIBRARIES / "src" / "golang.org" / "x" / "mod" / "sumdb").is_dir():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Failed(f"Go and its sumdb are not installed. On Debian: apt-get install {' '.join(PACKAGES)}")
    run(["apt-get", "update", "--quiet"])
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES]
    run(install, DEBIAN_FRONTEND="noninteractive")


class Go:
    """`sumdb/note` and `sumdb/tlog` of golang.org/x/mod, called by check.go."""

    name = "go"

    def __init__(self, folder: Path) -> None:
        self._folder, self._program = folder, folder / "check"
        place = {"GOPATH": str(LIBRARIES), "GOCACHE": str(folder / "cache")}
        run(
            ["go", "build", "-o", self._program, HERE / "check.go"],
            cwd=folder,
            GO111MODULE="off",
            GOFLAGS="",
            **place,
        )

    def verdicts(self, cases: Sequence[Case]) -> list[str]:
        """Return `accepted` or `refused` for each case."""
        return [self._verdict(each) for each in cases]

    def _verdict(self, case: Case) -> str:
        files = {"leaf": case.leaf, "proof": case.proof, "policy": case.policy}
        for name, data in files.items():
            (self._folder / name).write_bytes(data)
        done = subprocess.run(
            [self._program, *files], cwd=self._folder, capture_output=True, check=False, timeout=60
        )
        return "accepted" if done.returncode == 0 else "refused"


class Dnsid:
    """PyPI `dnsid`, called by check_dnsid.py in its own environment."""

    name = "dnsid"

    def verdicts(self, cases: Sequence[Case]) -> list[str]:
        """Return `accepted` or `refused` for each case."""
        lines = [
            json.dumps(
                {name: base64.b64encode(getattr(case, name)).decode() for name in ("leaf", "proof", "policy")}
            )
            for case in cases
        ]
        done = subprocess.run(
            [BIN / "python", "-I", HERE / "check_dnsid.py"],
            input="\n".join(lines), capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"check_dnsid.py: {done.stderr[-500:]}")
        return [json.loads(line).partition(" ")[0] for line in done.stdout.splitlines()]


Verifier = Go | Dnsid
