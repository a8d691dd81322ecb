"""Run the benchmark with few rows, so that it keeps working."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bench.pages import __main__
from tests.server import Site


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_page_of_the_bench_is_answered(kind: str, sites: Callable[[str], Site]) -> None:
    few = ["--rows", "300", "--steps", "30", "--requests", "1", "--without-peers", "--only", "answers"]
    (answered,) = __main__.run(sites(kind), __main__.options([*few, "--database", kind]))
    missing = [name for name, row in answered.rows.items() if "page p50 ms" not in row]
    assert not missing
