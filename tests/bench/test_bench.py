"""Run each part of the benchmark with few requests, so that it keeps working."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bench import __main__
from tests.bench.options import Options
from tests.server import Site

FEW = Options(events=40, rounds=1, connections=4, runs=20, samples=3)


#: Each part runs on one kind of database, since all parts start the same servers.
KINDS = {"intake": "sqlite", "submit": "postgresql", "settle": "sqlite", "queryable": "postgresql"}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_everything_that_a_part_of_the_bench_sends_is_stored(
    name: str, kind: str, sites: Callable[[str], Site]
) -> None:
    assert KINDS.keys() == __main__.PARTS.keys()
    parts = __main__.PARTS[name](lambda: sites(kind), FEW)
    assert all(part.accepted and part.is_whole and not part.others for part in parts), parts
