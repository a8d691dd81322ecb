"""The sandbox imports nothing of the product that is tested against it."""

from __future__ import annotations

import ast
import pathlib
import sys

import receiver.sandbox

ALLOWED = {"httpx2", "starlette", "uvicorn"}


def _imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_sandbox_is_an_island() -> None:
    """Its files import the standard library, the web framework, the HTTP client, and one another."""
    (folder,) = receiver.sandbox.__path__
    for file in pathlib.Path(folder).glob("*.py"):
        foreign = {
            name
            for name in _imported(file.read_text())
            if name != "receiver.sandbox" and name.partition(".")[0] not in ALLOWED | sys.stdlib_module_names
        }
        assert foreign == set(), file.name
