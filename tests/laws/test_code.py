"""Rules for every source file, which a review would otherwise have to check."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PRODUCT = sorted(path for package in ("receiver", "storage") for path in (ROOT / package).rglob("*.py"))
SOURCES = [path for path in PRODUCT if "versions" not in path.parts]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
VAGUE_NAMES = {"utils", "helpers", "common", "services", "managers", "manager", "misc"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in _nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_imports_run_downwards_and_every_file_has_a_layer() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_no_file_is_longer_than_400_lines() -> None:
    assert not [name_of(path) for path in SOURCES if len(path.read_text().splitlines()) > 400]


def test_no_function_is_longer_than_50_lines() -> None:
    long = [
        f"{name_of(path)}:{node.name}"
        for path in SOURCES
        for node in _functions(path)
        if (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert not long


@pytest.mark.parametrize("path", [path for path in SOURCES if ">>> " in path.read_text()], ids=name_of)
def test_the_examples_in_docstrings_hold(path: Path) -> None:
    module = importlib.import_module(name_of(path).removesuffix(".py").replace("/", "."))
    assert doctest.testmod(module).failed == 0


def test_a_folder_has_at_most_16_modules() -> None:
    modules = Counter(name_of(path.parent) for path in SOURCES if path.name != "__init__.py")
    assert not [folder for folder, count in modules.items() if count > 16]


def test_a_package_does_nothing_when_it_is_imported_but_for_the_client_which_has_its_names_there() -> None:
    found = [name_of(path) for path in SOURCES if path.name == "__init__.py" and path.read_text()]
    assert found == ["receiver/client/__init__.py"]


def _inner_imports(path: Path) -> Iterator[int]:
    """Yield the lines of the imports inside functions that have no comment, there or on the line above."""
    lines = ["", *path.read_text().splitlines()]
    for function in _functions(path):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                above = lines[node.lineno - 1].lstrip()
                if "#" not in lines[node.lineno] and not above.startswith("#"):
                    yield node.lineno


def test_an_import_inside_a_function_has_a_comment_with_its_reason() -> None:
    assert not [f"{name_of(path)}:{line}" for path in SOURCES for line in _inner_imports(path)]


def test_no_file_has_a_vague_name() -> None:
    assert not [name_of(path) for path in SOURCES if path.stem in VAGUE_NAMES]


def _is_broad(caught: ast.expr | None) -> bool:
    return caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))


def test_only_the_task_boundary_and_the_last_resort_catch_everything() -> None:
    found = [
        name_of(path)
        for path in SOURCES
        for node in _nodes(path)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)
    ]
    assert sorted(found) == ["receiver/poll_loop.py", "receiver/web/problems.py"]


def test_no_test_patches_names_of_ours() -> None:
    patching = ("monkeypatch." + "setattr", "mock." + "patch", "Magic" + "Mock", "Async" + "Mock")
    assert not [(name_of(path), word) for path in TESTS for word in patching if word in path.read_text()]


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
