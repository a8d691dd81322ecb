"""Compose: the file matches its schema, which comes with check-jsonschema."""

from __future__ import annotations

from pathlib import Path

from tests.deploy import files
from tests.deploy.check import tools


def schema(_folder: Path) -> str:
    """Check the compose file against the schema."""
    tools.run(
        [tools.BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", files.DEPLOY / "compose.yaml"]
    )
    return f"{len(files.services())} services"
