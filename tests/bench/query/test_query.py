"""Run the benchmark with few rows, so that it keeps working."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bench.query import __main__, store
from tests.server import Site


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_question_of_the_bench_is_answered(
    kind: str, sites: Callable[[str], Site], capsys: pytest.CaptureFixture[str]
) -> None:
    (answered,) = __main__.run(sites(kind), 300, 1, peers=False)
    assert set(answered.rows) == set(__main__.ours(300, store.Texts())), capsys.readouterr().out
