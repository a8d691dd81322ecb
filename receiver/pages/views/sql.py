"""SQL of users: the readable tables, the statement in the address, and its result."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from receiver import errors
from receiver.export import csv_format
from receiver.pages import requests
from receiver.pages.drawing import result_chart
from receiver.web import problems
from receiver.web.authentication import Scope
from storage import errors as storage_errors
from storage.user_sql import readable_columns, sql_runner, statements

router = requests.Router()
#: The numbers of rows that a page may show, and the characters of a value in a table.
LIMITS, SHOWN = (100, 500, 1000), 300
EXAMPLES = (
    (
        "Runs and cost by state",
        "SELECT status, count(*) AS runs, sum(cost_micros) / 1000000.0 AS dollars\n"
        "FROM runs GROUP BY status ORDER BY runs DESC",
    ),
    (
        "Runs by day",
        "SELECT substr(CAST(accepted_at AS text), 1, 10) AS day, count(*) AS runs\n"
        "FROM runs GROUP BY 1 ORDER BY 1",
    ),
    (
        "Tools that took longest",
        "SELECT tool_name, sum(duration_ms) AS milliseconds, count(*) AS calls\n"
        "FROM run_steps WHERE tool_name IS NOT NULL GROUP BY tool_name ORDER BY milliseconds DESC",
    ),
    (
        "Deliveries by verdict and cause",
        "SELECT verdict, count(*) AS deliveries, reason\nFROM deliveries GROUP BY verdict, reason ORDER BY 2 DESC",
    ),
)
#: Mistakes in a statement, and statements that are too costly: shown beside the statement, which is kept.
_FAULTS = (
    storage_errors.BadStatement,
    storage_errors.NotReadable,
    storage_errors.StatementTimeout,
    storage_errors.Busy,
    storage_errors.RoleTooPowerful,
)


@dataclass(frozen=True, slots=True)
class _Result:
    """An answer with the time that it took, and its chart."""

    answer: statements.Answer
    milliseconds: float
    chart: result_chart.Chart | None

    @property
    def numeric(self) -> list[bool]:
        """Return for each column whether it holds numbers."""
        return [
            all(isinstance(row[at], int | float | None) for row in self.answer.rows)
            for at in range(len(self.answer.columns))
        ]


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why there is no result, with the statement around the mistake where its place is known."""

    message: str
    position: int | None = None
    before: str = ""
    word: str = ""
    after: str = ""


@router.page("GET", "/sql", Scope.ADMIN)
async def show(given: requests.PageRequest) -> Response:
    """Show the editor, and the result of the statement in the address."""
    if given.context.api.run_sql is None:
        return given.page("sql_off.html")
    text, limit = given.parameter("sql").strip(), _limit(given)
    result, fault, status = None, None, 200
    if text:
        try:
            result = await _run(given, statements.Statement(text, (), limit))
        except _FAULTS as error:
            fault, status = _fault(error, text), problems.kind(error).status
    values = {
        "text": text,
        "limit": limit,
        "limits": LIMITS,
        "shown": SHOWN,
        "result": result,
        "fault": fault,
        "most": sql_runner.ROWS,
        "bounds": statements.Bounds(),
        "examples": EXAMPLES,
    }
    if given.is_partial:
        response = await asyncio.to_thread(given.partial, "sql.html", "result", **values)
        response.status_code = status
        return response
    tables, hidden = readable_columns.types(), readable_columns.HIDDEN
    # Megabytes of values take longer than the event loop should wait.
    values |= {"tables": tables, "hidden": hidden}
    return await asyncio.to_thread(given.page, "sql.html", status, **values)


@router.page("GET", "/sql/csv", Scope.ADMIN)
async def export(given: requests.PageRequest) -> Response:
    """Return the result of the statement in the address as a file for spreadsheets."""
    text = given.parameter("sql").strip()
    if given.context.api.run_sql is None or not text:
        raise errors.NotFound("there is no statement to export")
    answer = (await _run(given, statements.Statement(text, (), sql_runner.ROWS))).answer
    headers = {"content-disposition": 'attachment; filename="runledger-sql.csv"'}
    if answer.is_truncated:
        headers["x-truncated"] = "true"
    return Response(
        await asyncio.to_thread(_as_csv, answer), headers=headers, media_type="text/csv; charset=utf-8"
    )


def _as_csv(answer: statements.Answer) -> bytes:
    lines = io.StringIO()
    rows: Sequence[Sequence[statements.Value]] = [answer.columns, *answer.rows]
    csv.writer(lines).writerows([csv_format.cell(value) for value in row] for row in rows)
    return lines.getvalue().encode("utf-8", "replace")


async def _run(given: requests.PageRequest, statement: statements.Statement) -> _Result:
    """Run a statement. Raises the errors of `sql_runner.run`, and Busy."""
    run = given.context.api.run_sql
    assert run is not None
    began = time.perf_counter()
    answer = await run(statement)
    milliseconds = (time.perf_counter() - began) * 1000
    return _Result(answer, milliseconds, result_chart.draw(answer.columns, answer.rows))


def _limit(given: requests.PageRequest) -> int:
    limit = requests.number(given.parameter("limit", str(LIMITS[0])))
    if limit not in LIMITS:
        raise errors.BadParameter("limit", f"is one of {', '.join(map(str, LIMITS))}")
    return limit


def _fault(error: Exception, text: str) -> _Fault:
    """Return the message of an error and the word at its place."""
    message = (
        "Two statements are running. Try again in a moment." if isinstance(error, storage_errors.Busy) else ""
    )
    position = getattr(error, "position", None)
    message = message or str(error)[:500]
    if not isinstance(position, int) or not 0 <= position < len(text):
        return _Fault(message)
    end = position + 1
    while end < len(text) and (text[end].isalnum() or text[end] == "_") and text[position].isalnum():
        end += 1
    return _Fault(message, position + 1, text[:position], text[position:end], text[end:])
