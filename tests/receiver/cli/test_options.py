"""Options that several commands have."""

from __future__ import annotations

import pytest

from receiver.cli import main, options
from receiver.schemas import query_parameters

FILTERED = ("runs", "stats", "export")


def test_there_is_an_option_for_every_filter_of_the_api() -> None:
    parameters = {"tag" if name == "tags" else name for name in query_parameters.RunFilter.model_fields}
    assert set(options.FILTERS) == parameters


@pytest.mark.parametrize("command", FILTERED)
def test_a_filtered_command_has_all_filters_in_one_order(command: str) -> None:
    names = [parameter.name for parameter in main.load(command).params]
    assert [name for name in names if name in options.FILTERS] == list(options.FILTERS)
    assert "chosen" not in names
