"""Page cursors."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import cursors, errors
from storage.query import grammar, run_pages
from tests.storage import scratch

SEQ = st.integers(0, 2**63 - 1)
VALUE = st.none() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=4)
)


def _pack(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.sampled_from(["-accepted", "cost"]), VALUE, SEQ)
def test_a_cursor_is_parsed_to_what_it_was_made_of(sort: str, value: str | int | None, seq: int) -> None:
    made = cursors.Cursor(sort, value, seq)
    assert cursors.parse(str(made), sort) == made


def test_a_cursor_can_be_in_an_address() -> None:
    text = str(cursors.Cursor("-accepted", "ÿ?>~", 2**62))
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_junk_is_a_bad_cursor(text: str) -> None:
    with pytest.raises(errors.BadCursor):
        cursors.parse(text, "-accepted")


@given(JSON)
def test_well_packed_junk_is_a_bad_cursor_too(value: Any) -> None:
    with pytest.raises(errors.BadCursor):
        cursors.parse(_pack(value), "-accepted")


@pytest.mark.parametrize(
    "packed",
    [["cost", 1, 2], ["-accepted", 1, -1], ["-accepted", 2**63, 1], ["-accepted", 1, 2**63], ["-accepted", 1]],
)
def test_a_cursor_that_we_never_made_is_refused(packed: list[Any]) -> None:
    with pytest.raises(errors.BadCursor):
        cursors.parse(_pack(packed), "-accepted")


@pytest.mark.parametrize("sort", ["-created", "created", "-cost", "duration", "-settled", "-accepted"])
@pytest.mark.parametrize(
    "value", ["0001-01-01T00:00:00+14:00", "9" * 40, "nonsense", -1, 20261123, True, "2026-11-23", None, "\ud800"]
)
def test_a_list_takes_a_forged_cursor_or_refuses_it(scratch_url: str, sort: str, value: Any) -> None:
    query = run_pages.Query(grammar.EVERYTHING, sort, 5, _pack([sort, value, 7]))
    with scratch.connected(scratch_url) as connection, contextlib.suppress(errors.BadCursor):
        assert run_pages.page(connection, query) == ([], None)
