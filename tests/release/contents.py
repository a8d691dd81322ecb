"""What a release contains: its bill of materials (CycloneDX), their licences, their known vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.deploy.check import tools
from tests.deploy.check.tools import Failed
from tests.release.package import LOCK, TOOLS

Component = Mapping[str, Any]

#: Identifiers of SPDX, and the words that some packages use in their place.
_PERMISSIVE = {
    *(
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Python-2.0",
        "Zlib",
    ),
    *("Apache Software License", "BSD License", "MIT License", "ISC License (ISCL)"),
}
#: Licences with conditions that are met: the package is used as it is published, and can be replaced.
_ALLOWED_FOR = {
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
}


def bill_of_materials(python: Path, into: Path) -> Sequence[Component]:
    """Write what is installed beside this Python as CycloneDX; return its components."""
    command: list[str | Path] = [
        TOOLS / "cyclonedx-py",
        "environment",
        "--output-reproducible",
        "--output-format",
        "JSON",
    ]
    tools.run([*command, "--pyproject", "pyproject.toml", "--output-file", into, python])
    components: Sequence[Component] = json.loads(into.read_text())["components"]
    return components


def licences(components: Sequence[Component]) -> str:
    """Return how many licences are permissive. Raise Failed with those that are neither that nor allowed."""
    others = {each["name"]: expressions(each) for each in components if not _is_permissive(expressions(each))}
    if refused := [name for name, given in others.items() if given != [_ALLOWED_FOR.get(name.lower())]]:
        listed = "; ".join(f"{name}: {', '.join(others[name]) or 'none'}" for name in sorted(refused))
        raise Failed(f"not among the licences of tests/release/contents.py: {listed}")
    kept = ", ".join(f"{name} {_ALLOWED_FOR[name.lower()]}" for name in sorted(others))
    return f"{len(components) - len(others)} permissive; {kept}"


def _is_permissive(given: Sequence[str]) -> bool:
    """Return whether there is a licence, and of each that is demanded one alternative is permissive."""
    demanded = [part for expression in given for part in expression.split(" AND ")]
    return bool(demanded) and all(_PERMISSIVE & set(part.strip("()").split(" OR ")) for part in demanded)


def expressions(component: Component) -> list[str]:
    """Return the licences of a component as it gives them, each an identifier, a name or an expression of SPDX."""
    entries = component.get("licenses", ())
    found = (e.get("expression") or e["license"].get("id") or e["license"].get("name", "") for e in entries)
    return sorted({licence.removeprefix("License :: OSI Approved :: ") for licence in found} - {""})


def vulnerabilities() -> str:
    """Ask the package index about each pinned dependency. Raise Failed with the vulnerable ones."""
    command: list[str | Path] = [
        TOOLS / "pip-audit",
        "--requirement",
        LOCK,
        "--require-hashes",
        "--disable-pip",
        "--format",
        "json",
    ]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "audit.json"
        command += ["--progress-spinner", "off", "--output", report]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
        if not report.exists():
            raise Failed(f"pip-audit made no report\n{ended.stderr}")
        return audited(json.loads(report.read_text())["dependencies"])


def audited(dependencies: Sequence[Mapping[str, Any]]) -> str:
    """Return how many of the dependencies the index knows advisories of. Raise Failed where it names some."""
    if found := [
        f"{each['name']} {each['version']}: {', '.join(entry['id'] for entry in each['vulns'])}"
        for each in dependencies
        if each.get("vulns")
    ]:
        raise Failed("; ".join(found))
    unknown = sum("skip_reason" in each for each in dependencies)
    return f"none in {len(dependencies) - unknown} dependencies; the index could not say of {unknown}"
