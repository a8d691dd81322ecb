"""Make what a release consists of, in dist/, and try it as one who installs it would.

It exits with 1 where a part fails: the package differs between two builds, does not install or run alone, contains
a licence that is not allowed, or has a dependency with a known vulnerability.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.deploy.check import tools
from tests.deploy.check.tools import Failed
from tests.release import contents, package


def main() -> int:
    """Run all of it, a line each."""
    parser = argparse.ArgumentParser(prog="make release")
    parser.add_argument("--tag", help="the tag that is released; it has to be v and the version")
    given = parser.parse_args()
    started = time.monotonic()
    try:
        _all(tools.ROOT / "dist", given.tag)
    except Failed as failed:
        print(f"FAILED: {failed}")
        return 1
    print(f"made and tried, in {time.monotonic() - started:.0f} s")
    return 0


def _all(dist: Path, tag: str | None) -> None:
    shutil.rmtree(dist, ignore_errors=True)
    version = package.version(tag)
    wheel = package.build(dist)
    _said("built twice alike", ", ".join(sorted(path.name for path in dist.iterdir())))
    with tempfile.TemporaryDirectory() as folder:
        python = package.install(wheel, Path(folder))
        _said("installed alone", package.try_out(python, version, Path(folder)))
        bill = contents.bill_of_materials(python, dist / f"runledger-{version}.cdx.json")
    _said("bill of materials", f"CycloneDX, {len(bill)} components")
    _said("licences", contents.licences(bill))
    _said("known vulnerabilities", contents.vulnerabilities())
    sums = _checksums(dist)
    _said("checksums", f"{sums.name} of {len(sums.read_text().splitlines())} files")


def _checksums(dist: Path) -> Path:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(dist.iterdir())]
    sums = dist / "SHA256SUMS"
    sums.write_text("".join(lines))
    return sums


def _said(part: str, what: str) -> None:
    print(f"{part}: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
