"""How the statements of lists find their runs: along an index, or within a window of keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from storage.query import grammar, run_pages
from tests.storage.questions.corpus import NOW

#: What the manual promises to be found in order: runs are looked at until the page is full.
IN_ORDER = [
    ("", "accepted"), ("status:failed", "accepted"), ("agent:a status:failed", "accepted"),
    ("agent:a", "accepted"),
    ("model:m", "accepted"), ("tag.client:acme", "accepted"),
    ("", "created"), ("created:>-7d", "created"), ("agent:a", "created"), ("agent:a created:>-7d", "created"),
    ("", "settled"), ("settled:>-7d", "settled"), ("", "cost"), ("cost:>1", "cost"), ("", "duration"),
    ("duration:>2m", "duration"), ("", "tokens"), ("tokens:>=10k", "tokens"),
]  # fmt: skip
#: What is looked for window by window in the order of acceptance.
WINDOWED = (
    "agent:a,b", "agent:a,b status:failed", "status:failed,lost", "-status:completed",
    "model:m,n", "model:m*",
    "submitted_by:x", "has:tag.client", "tool:webfetch", "word two", "wor*", "-word",
    "has:failure_reason", "status:failed OR tool:search", "agent:a created:>-7d", "accepted:>-7d",
    "accepted:<-30d", "status:failed accepted:2026-11-10..2026-11-12",
)  # fmt: skip
#: What is gathered along an index of its own and sorted, or sought along that of the order.
OTHERS = (
    "status:failed", "agent:agent_contracts", "model:m", "tag.client:acme", "tool:webfetch", "word", "has:output",
    "origin:adopted", "settled_by:sweep", "review:approved", "review:none", "-status:completed",
    "cost:>1 duration:>2m",
)  # fmt: skip


@contextmanager
def recorded(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """The statements that put runs in order and are executed meanwhile, with their values."""
    executed: list[tuple[str, Any]] = []

    def record(statement: str, values: Any = ()) -> None:
        is_ordered = statement.rfind("ORDER BY") > statement.rfind("FROM runs")  # not the tags alone
        is_internal = statement.startswith("--")
        if is_ordered and not is_internal and ("FROM runs" in statement or "FROM passage_words" in statement):
            executed.append((statement, values))

    def record_sent(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        record(statement, values)

    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":  # also those that bypass SQLAlchemy, with their values in them
        driver.set_trace_callback(record)
        yield executed
        driver.set_trace_callback(None)
        return
    event.listen(connection.engine, "before_cursor_execute", record_sent)
    yield executed
    event.remove(connection.engine, "before_cursor_execute", record_sent)


def plans(connection: Connection, question: str, sort: str) -> list[str]:
    """How each statement of a page is carried out."""
    with recorded(connection) as executed:
        run_pages.page(connection, run_pages.Query(grammar.parse(question, NOW), sort, 20))
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return [
        "\n".join(row[-1] for row in connection.exec_driver_sql(f"{explain} {statement}", values))
        for statement, values in executed
    ]


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(("question", "sort"), IN_ORDER)
def test_what_the_manual_promises_is_neither_sorted_nor_scanned(
    question: str, sort: str, sign: str, asked: Mapping[str, Connection]
) -> None:
    (plan,) = plans(asked["sqlite"], question, sign + sort)
    assert "TEMP B-TREE" not in plan
    assert "USING" in plan or (question, sort) == ("", "accepted")  # which goes along the keys themselves


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("question", WINDOWED)
def test_other_questions_are_bound_by_windows_of_keys(
    question: str, sign: str, asked: Mapping[str, Connection]
) -> None:
    with recorded(asked["sqlite"]) as executed:
        run_pages.page(asked["sqlite"], run_pages.Query(grammar.parse(question, NOW), f"{sign}accepted", 20))
    assert all("runs.seq >= " in statement for statement, _ in executed)
    assert not [plan for plan in plans(asked["sqlite"], question, f"{sign}accepted") if "SCAN runs" in plan]


@pytest.mark.parametrize("sign", ["", "-"])
def test_the_index_of_words_has_the_runs_in_order(sign: str, asked: Mapping[str, Connection]) -> None:
    (plan,) = plans(asked["sqlite"], "the", f"{sign}accepted")
    assert plan.startswith("SCAN passage_words VIRTUAL TABLE INDEX")
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("sort", [each for each in run_pages.SORTS if each != "accepted"])
@pytest.mark.parametrize("question", OTHERS)
def test_no_order_of_a_measure_scans_all_runs(question: str, sort: str, asked: Mapping[str, Connection]) -> None:
    (plan,) = plans(asked["sqlite"], question, f"-{sort}")
    assert "SCAN runs" not in plan.replace(f"SCAN runs USING INDEX {_index(sort)}", "")


def _index(sort: str) -> str:
    column = run_pages.SORTS[sort]
    return f"ix_runs_{sort}" if sort in ("created", "tokens") else f"ix_runs_{column.name}"


@pytest.mark.parametrize(
    ("question", "sort", "index"),
    [
        ("", "-accepted", "pk_runs"),
        ("agent:agent_rare", "-accepted", "ix_runs_agent_id_status_seq"),
        ("agent:agent_rare status:failed", "-accepted", "ix_runs_agent_id_status_seq"),
        ("tag.rare:yes", "-accepted", "ix_run_tags_key_value_run_seq"),
        ("", "-cost", "ix_runs_cost_micros_seq"),
        ("", "-tokens", "ix_runs_tokens_seq"),
        ("cost:>2.99", "-cost", "ix_runs_cost_micros_seq"),
        ("agent:agent_rare", "-created", "ix_runs_agent_id_created_seq"),
        ("created:>-1d", "-created", "ix_runs_created_seq"),
        ("zyzzyva", "-accepted", "ix_passage_words_words"),
        ("the", "-accepted", "pk_passage_words"),
    ],
)
def test_a_server_looks_along_indexes_too(
    question: str, sort: str, index: str, asked: Mapping[str, Connection]
) -> None:
    found = plans(asked["postgresql"], question, sort)
    assert any(index in plan for plan in found)
    assert not [plan for plan in found if "Seq Scan" in plan]


@pytest.mark.parametrize("question", ["the", '"the court"', "the status:failed", "agent:a,b"])
def test_a_server_plans_a_repeated_query_for_its_values(question: str, asked: Mapping[str, Connection]) -> None:
    connection = asked["postgresql"]
    for _ in range(
        12
    ):  # the driver prepares a statement after five, the server has one plan for all after five more
        run_pages.page(connection, run_pages.Query(grammar.parse(question, NOW), "-accepted", 20))
    windows = "SELECT sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE '%%>= $%%< $%%'"
    assert connection.exec_driver_sql(windows).scalar_one() == 0
