"""Statistics of runs."""

from __future__ import annotations

from dataclasses import replace

import pydantic_core
from pydantic.alias_generators import to_camel

from receiver.schemas import query_parameters, responses
from receiver.web import operations
from receiver.web.authentication import Scope
from storage.stats import questions

Summing = operations.Call[query_parameters.StatsQuery, None]

router = operations.Router("stats")
#: A row of the answer, with places for its key and its numbers.
_ROW = b'{"key":%%b,%b}' % b",".join(b'"%b":%%d' % to_camel(name).encode() for name in questions.Row._fields[1:])


@router.operation("GET", "/v1/stats", "Sum runs in groups", {200: responses.Stats}, Scope.READ)
async def get_stats(call: Summing) -> operations.Answer:
    """Answer with counts, costs, tokens and durations of the runs that match the filters."""
    found = await call.database.timed_read(questions.find, call.query.grouping, call.query.expression(call.now))
    # There may be a thousand rows, which are not validated again.
    head = responses.Stats.model_validate(replace(found, stats=())).model_dump_json(by_alias=True)
    rows = b",".join(map(_encoded_row, found.stats))
    return operations.Answer(200, head.removesuffix("]}").encode() + rows + b"]}")


def _encoded_row(row: questions.Row) -> bytes:
    key, *numbers = row
    if None in numbers:  # no run has a duration
        spelled = (b"null" if each is None else b"%d" % each for each in numbers)
        return _ROW.replace(b"%d", b"%b") % (pydantic_core.to_json(key), *spelled)
    return _ROW % (pydantic_core.to_json(key), *numbers)
