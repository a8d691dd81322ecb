"""What review would otherwise have to say."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PRODUCT = sorted(path for package in ("receiver", "storage") for path in (ROOT / package).rglob("*.py"))
SOURCES = [path for path in PRODUCT if "versions" not in path.parts]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
DRAWERS = {"utils", "helpers", "common", "services", "managers", "manager", "misc"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_imports_run_downwards_and_every_file_has_a_floor() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_function_is_longer_than_50_lines(path: Path) -> None:
    long = {node.name for node in _functions(path) if (node.end_lineno or 0) - node.lineno >= 50}
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_public_function_says_what_it_does(path: Path) -> None:
    tree = ast.parse(path.read_text())
    public = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and node in tree.body
    ]
    assert ast.get_docstring(tree) or not public
    assert not [node.name for node in public if not ast.get_docstring(node)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_is_a_drawer(path: Path) -> None:
    assert path.stem not in DRAWERS


def _is_broad(caught: ast.expr | None) -> bool:
    return caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))


def test_a_broad_except_stands_at_the_task_boundary_and_in_the_last_resort_alone() -> None:
    found = [
        name_of(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)
    ]
    assert sorted(found) == ["receiver/problems.py", "receiver/rounds.py"]


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_patches_names_of_ours(path: Path) -> None:
    patching = ("monkeypatch." + "setattr", "mock." + "patch", "Magic" + "Mock", "Async" + "Mock")
    assert not [word for word in patching if word in path.read_text()]


def test_no_tracked_file_names_a_registry_or_a_path_of_a_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = ("pypi" + ".org", "pythonhosted" + ".org", "/ro" + "ot/", "/wo" + "rk/")
    found = [
        (name, word)
        for name in files.splitlines()
        for word in words
        if (ROOT / name).is_file() and word in (ROOT / name).read_text(errors="replace")
    ]
    assert not found
