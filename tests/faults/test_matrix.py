"""The matrix names files, tests, waits and databases that exist, and has each test of its modules."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from receiver import timeouts

TESTS = Path(__file__).parent.parent
PAGE = Path(__file__).parent / "MATRIX.md"
#: The files whose every test is a cell.
CELLS = ("upstream_away", "database_away", "database_server", "clock", "secrets")
KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
#: Fixtures that are of one kind of database alone.
FIXTURES = {"embedded": "SQLite", "file_url": "SQLite", "served": "PostgreSQL", "server_url": "PostgreSQL"}
FIXTURES |= {"far": "PostgreSQL", "three": "PostgreSQL"}


@dataclass(frozen=True)
class Row:
    """A row of the matrix."""

    cells: tuple[str, ...]

    @property
    def database(self) -> str:
        return self.cells[1]

    @property
    def test(self) -> str:
        return self.cells[-1].strip("`")


def _row(line: str) -> Row:
    return Row(tuple(cell.strip() for cell in line.strip("|").split("|")))


ROWS = [_row(line) for line in PAGE.read_text().splitlines() if line.startswith("| ") and "::" in line]


def _functions(path: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    found = ast.parse(path.read_text()).body
    return {node.name: node for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _kinds(marks: list[ast.expr]) -> list[str]:
    """Return the kinds of database to which marks limit a test."""
    found = [ast.literal_eval(mark.args[1]) for mark in marks if isinstance(mark, ast.Call) and _is_kind(mark)]
    return [kind for kinds in found for kind in kinds]


def _is_kind(mark: ast.Call) -> bool:
    return bool(mark.args) and isinstance(mark.args[0], ast.Constant) and mark.args[0].value == "kind"


def _databases(path: Path, name: str) -> str:
    """Return on which databases a test runs, in the words of the matrix."""
    tree, test = ast.parse(path.read_text()), _functions(path)[name]
    marks = [node.value for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.dump(node)]
    kinds = _kinds([*marks, *test.decorator_list])
    if kinds:
        return " and ".join(KINDS[kind] for kind in kinds)
    arguments = {each.arg for each in test.args.args}
    if path.parent.name == "faults":
        return "both"
    return next((kind for fixture, kind in FIXTURES.items() if fixture in arguments), "both")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.cells[0])
def test_a_cell_is_whole_and_its_test_runs_on_the_databases_that_it_names(row: Row) -> None:
    assert len(row.cells) == 6
    assert all(row.cells)
    file, _, name = row.test.partition("::")
    assert name in _functions(TESTS / file)
    assert _databases(TESTS / file, name) == row.database


def test_no_test_of_the_matrix_is_left_out_of_it() -> None:
    files = [f"faults/test_{each}.py" for each in CELLS]
    tests = {f"{file}::{name}" for file in files for name in _functions(TESTS / file) if name.startswith("test_")}
    assert tests <= {row.test for row in ROWS}


def test_every_file_and_wait_that_the_page_names_exists() -> None:
    text = PAGE.read_text()
    files = {name.removeprefix("tests/") for name in re.findall(r"`([\w/]+\.py)", text)}
    assert not {name for name in files if not (TESTS / name).is_file()}
    waits = set(re.findall(r"`Timing\.(\w+)`", text))
    assert waits
    assert not {name for name in waits if not hasattr(timeouts.Timing(), name)}
