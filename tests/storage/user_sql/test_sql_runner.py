"""The users' own SQL: it reads what is listed, changes nothing, and keeps to its bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, LargeBinary, Table, inspect, select

from storage import errors
from storage.engine import connections
from storage.tables import schema
from storage.user_sql import readable_columns, restricted_process, sql_runner, statements
from tests import postgres, reading
from tests.conftest import BOTH
from tests.laws import role_script
from tests.reading import SECRET, Store

TABLES = schema.metadata.sorted_tables
READABLE = [table for table in TABLES if table.name in readable_columns.HIDDEN]
#: Words in the name of a column that has to be reviewed.
SUSPICIOUS = ("secret", "salt", "token", "password", "sealed", "cursor", "headers", "sha256")


@pytest.fixture(scope="module", params=BOTH)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A filled store, once per kind of database."""
    return reading.filled(request.param, request, tmp_path_factory.mktemp("sql"))


@pytest.fixture(scope="module")
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A filled file."""
    return reading.filled("sqlite", request, tmp_path_factory.mktemp("sql"))


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A filled database of a server."""
    return reading.filled("postgresql", request, tmp_path_factory.mktemp("sql"))


def everything(store: Store) -> list[object]:
    """All rows of all tables, by the owner."""
    engine = connections.engine(store.url, readonly=True, connections=1)
    with engine.connect() as connection:
        found: list[object] = [connection.execute(select(table)).all() for table in TABLES]
        found.append(sorted(inspect(connection).get_table_names()))
    engine.dispose()
    return found


# What can be read


def test_every_table_is_either_readable_or_closed() -> None:
    assert {table.name for table in TABLES} == {*readable_columns.HIDDEN, *readable_columns.CLOSED}
    assert not {*readable_columns.HIDDEN} & readable_columns.CLOSED


@pytest.mark.parametrize("table", READABLE, ids=str)
def test_a_column_that_sounds_like_a_secret_is_hidden_or_was_looked_at(table: Table) -> None:
    looked_at = {"ledger_entries.leaf_hash", "ledger_nodes.hash", "ledger_checkpoints.root"}
    looked_at |= {"deliveries.secret_used", "rollup_sums.histogram"}
    for column in table.columns:
        sounds = isinstance(column.type, LargeBinary) or any(word in column.name for word in SUSPICIOUS)
        sounds = sounds and not isinstance(column.type, BigInteger)
        assert not sounds or column.name in readable_columns.HIDDEN[table.name] or str(column) in looked_at


@pytest.mark.parametrize("table", READABLE, ids=str)
def test_all_of_a_table_can_be_requested_and_what_is_hidden_is_null(store: Store, table: Table) -> None:
    name = table.name
    found = store.ask(f"SELECT * FROM {name}")
    assert found.columns == [column.name for column in table.columns]
    assert SECRET not in reading.texts(found)
    for place, column in enumerate(found.columns):
        assert column not in readable_columns.HIDDEN[name] or {row[place] for row in found.rows} <= {None}


def test_tables_are_joined_grouped_and_ordered(store: Store) -> None:
    found = store.ask("""
        WITH priced AS (SELECT r.id, r.status, t.value FROM runs r LEFT JOIN run_tags t ON t.run_seq = r.seq)
        SELECT status, count(*) AS number, max(value) AS client FROM priced GROUP BY status ORDER BY status
    """)
    assert (found.columns, found.rows) == (
        ["status", "number", "client"],
        [["accepted", 1, None], ["completed", 1, "acme"]],
    )


def test_parameters_stand_where_they_are_numbered(store: Store) -> None:
    found = store.ask("SELECT agent_id FROM runs WHERE agent_id = $2 OR seq = $1 -- it's all", 77, "agent_2")
    assert found.rows == [["agent_2"]]


def test_values_are_those_of_json(store: Store) -> None:
    inf = "CAST('Infinity' AS float8)" if "postgresql" in store.url else "9e999"
    found = store.ask(f"SELECT 1 AS a, 1.5 AS a, 'é' AS a, NULL AS a, {inf} AS a, leaf_hash FROM ledger_entries")
    assert found.rows[0][:5] == [1, 1.5, "é", None, "Infinity"]
    assert str(found.rows[0][5]).startswith("\\x")
    assert len(str(found.rows[0][5])) == 66


def test_json_comes_as_a_text(store: Store) -> None:
    found = store.ask("SELECT tool_input FROM run_steps LIMIT 1")
    assert json.loads(str(found.rows[0][0])) == {"q": "lease"}


def test_words_of_the_index_can_be_requested_on_a_file(file: Store) -> None:
    found = file.ask("SELECT rowid / 65536 FROM passage_words WHERE passage_words MATCH $1", '"force majeure"')
    assert found.rows == file.ask("SELECT seq FROM runs WHERE prompt LIKE '%force majeure%'").rows


def test_the_process_for_a_file_needs_nothing_of_ours() -> None:
    text = Path(str(restricted_process.__file__)).read_text()
    assert "from storage" not in text
    assert "import storage" not in text


# What cannot


def test_the_owner_can_read_the_secrets(store: Store) -> None:
    stored = repr(everything(store))
    assert stored.count(SECRET) > 20
    assert all(reading.secret_columns(schema.metadata.tables[name]) for name in readable_columns.CLOSED)


ATTEMPTS = [
    *(f"SELECT * FROM {name}" for name in readable_columns.CLOSED),
    *(f"SELECT count(*) FROM {name}" for name in readable_columns.CLOSED),
    "SELECT * FROM public.api_keys",
    "SELECT a.secret_sha256 FROM main.api_keys AS a",
    'SELECT "secret_sha256" FROM "API_KEYS"',
    "SELECT (SELECT max(secret_sha256) FROM api_keys) FROM runs",
    "SELECT salt FROM run_steps WHERE salt IS NOT NULL UNION SELECT salts FROM ledger_entries",
    "SELECT id FROM runs WHERE request_sha256 LIKE 's3%'",
    "SELECT moved_to FROM system_state ORDER BY moved_to",
    "SELECT count(*) FROM deliveries GROUP BY body HAVING max(body) IS NOT NULL",
    "WITH api AS (SELECT * FROM webhook_secrets) SELECT * FROM api",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_schema, sqlite_temp_schema",
    "SELECT * FROM dbstat",
    "SELECT * FROM pragma_table_info('api_keys')",
    "SELECT count(*) FROM pragma_database_list",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM pg_stat_activity",
    "SELECT rolpassword FROM pg_shadow, pg_roles",
    "SELECT pg_read_file('/etc/passwd')",
    'SELECT "pg_catalog"."pg_ls_dir"(\'/\')',
    "SELECT PG_SLEEP(60)",
    'SELECT U&"\\0070g_sleep"(60)',
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT set_config('role', 'postgres', false)",
    "SELECT query_to_xml('SELECT * FROM public.api_keys', true, true, '')",
    "SELECT * FROM ts_stat('SELECT words FROM public.passage_words')",
    "SELECT * FROM dblink('host=localhost', 'SELECT 1') AS t(a int)",
    "SELECT nextval('public.runs_seq_seq')",
    "SELECT load_extension('/tmp/x.so')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT randomblob(1000000000)",
    "SELECT readfile('/etc/passwd'), writefile('/tmp/x', 'x'), edit('x')",
    "SELECT * FROM runs FOR UPDATE",
    "SELECT * INTO stolen FROM runs",
    "INSERT INTO runs (id) VALUES ('x')",
    "INSERT INTO runs DEFAULT VALUES RETURNING *",
    "WITH x AS (SELECT 1) INSERT INTO run_tags SELECT 1, 'a', 'b', 'c'",
    "WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x",
    "WITH x AS (SELECT 1) DELETE FROM public.runs RETURNING *",
    "WITH x AS (SELECT 1) UPDATE runs SET prompt = 'x'",
    "REPLACE INTO system_state (id) VALUES (1)",
    "/* SELECT */ DROP TABLE runs",
    "-- SELECT\nDELETE FROM runs",
    "ATTACH DATABASE '/tmp/other.db' AS other",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "VACUUM INTO '/tmp/runledger-copy.db'",
    "CREATE TEMP TABLE t (a)",
    "CREATE VIEW v AS SELECT * FROM api_keys",
    "BEGIN",
    "COMMIT",
    "SAVEPOINT x",
    "REINDEX",
    "EXPLAIN SELECT * FROM api_keys",
    "COPY runs TO PROGRAM 'id'",
    "COPY (SELECT 1) TO STDOUT",
    "SET ROLE postgres",
    "RESET ALL",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CALL nothing()",
    "LOCK TABLE runs",
    "LISTEN runledger",
    "SHOW data_directory",
    "SELECT 1; DROP TABLE runs",
    "SELECT 1; SELECT * FROM api_keys",
    "SELECT 1) AS x; DELETE FROM public.runs; SELECT (2",
    "SELECT 1) AS x, (SELECT secret_sha256 FROM public.api_keys",
    "SELECT 1 UNION ALL TABLE public.api_keys",
    "SELECT * FROM run_steps WHERE salt = $1",
    "SELECT \x00 1",
    "SELECT '\ud800'",
    "",
    " \n-- nothing",
    ";",
    "(" * 5000 + "SELECT 1",
    "SELECT " + "1+" * 40_000 + "1",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    "SELECT " + ", ".join(["1"] * 1500),
    " UNION ALL ".join(["SELECT 1"] * 2000),
    "SELECT " + "x" * 200_000,
    "SELECT $99",
    "SELECT ?",
    "SELECT :name",
]


def test_no_attempt_reads_a_secret_or_changes_anything(store: Store, subtests: pytest.Subtests) -> None:
    before = everything(store)
    for text in ATTEMPTS:
        with subtests.test(f"{text!r:.60}"):
            assert SECRET not in store.outcome(text)
            assert everything(store) == before


GUESSES = {
    f"{table.name}.{name}": (table.name, name) for table in TABLES for name in reading.secret_columns(table)
}
#: Ways to get at a column that SQLite asks no authorizer about, and others.
WAYS = (
    "SELECT count(*) AS n FROM {table} NATURAL JOIN (SELECT {guess} AS {column}) AS g",
    "SELECT count(*) AS n FROM main.{table} NATURAL JOIN (SELECT {guess} AS {column}) AS g",
    "SELECT count(*) AS n FROM {table} WHERE {column} = {guess}",
    "WITH {table} AS (SELECT * FROM main.{table}) SELECT count(*) AS n FROM {table} WHERE {column} = {guess}",
)
FULL = "SELECT {column} FROM {table} FULL JOIN (SELECT {other} AS {column}) AS g USING ({column})"


@pytest.mark.parametrize("named", GUESSES)
def test_a_secret_cannot_even_be_guessed(store: Store, named: str) -> None:
    (table, column), is_file = GUESSES[named], store.url.startswith("sqlite")
    is_binary = isinstance(schema.metadata.tables[table].c[column].type, LargeBinary)
    guess, other = (
        (f"CAST('{text}' AS BLOB)" if is_file else f"'{text}'::bytea") if is_binary else f"'{text}'"
        for text in (SECRET, "another")
    )
    for way in WAYS:
        outcome = store.outcome(way.format(table=table, column=column, guess=guess))
        assert json.loads(outcome) == [["n"], [[0]]] if outcome.startswith("[[") else SECRET not in outcome
    assert SECRET not in store.outcome(FULL.format(table=table, column=column, other=other))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SELECT * FROM api_keys", "the table api_keys"),
        ("SELECT count(*) FROM webhook_secrets", "the table webhook_secrets"),
        ("SELECT load_extension('x')", "the function load_extension"),
        ("SELECT * FROM pragma_table_info('runs')", "the table pragma_table_info"),
        ("SELECT count(*) FROM Sqlite_Master", "the table sqlite_master"),
        ("DROP TABLE runs", "DROP"),
    ],
)
def test_what_is_denied_is_named(file: Store, text: str, named: str) -> None:
    with pytest.raises(errors.NotReadable, match=named):
        file.ask(text)


@pytest.mark.parametrize(
    "text",
    [
        "ATTACH 'x' AS y",
        "PRAGMA user_version",
        "PRAGMA query_only=OFF",
        "CREATE TEMP TABLE t (a)",
        "BEGIN IMMEDIATE",
        "DROP TABLE runs",
        "ANALYZE",
        "INSERT INTO passage_words (passage_words) VALUES ('delete-all')",
    ],
)
def test_the_list_of_what_a_file_allows_holds_by_itself(file: Store, text: str) -> None:
    with pytest.raises(errors.NotReadable):
        statements.execute(file.url, statements.Statement(text), statements.Bounds())


def test_a_file_is_not_copied_either(file: Store, tmp_path: Path) -> None:
    text = f"VACUUM INTO '{tmp_path / 'copy.db'}'"
    with pytest.raises(errors.BadStatement):
        statements.execute(file.url, statements.Statement(text), statements.Bounds())
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize(
    "text", ["DELETE FROM runs", "SET ROLE postgres", "COPY runs TO STDOUT", "SELECT 1; SELECT 2"]
)
def test_on_a_server_a_statement_is_a_question_or_nothing(server: Store, text: str) -> None:
    with pytest.raises(errors.BadStatement):
        statements.execute(server.reader, statements.Statement(text), statements.Bounds())


def test_the_role_itself_can_read_no_secret_and_change_nothing(server: Store) -> None:
    with psycopg.connect(**connections.libpq_arguments(server.reader), autocommit=True) as connection:
        for text in ("SELECT * FROM public.api_keys", "DELETE FROM runs", "UPDATE public.runs SET prompt = ''"):
            connection.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(text.encode())


BEYOND = {
    "ALTER ROLE runledger_sql SUPERUSER": "superuser",
    "ALTER ROLE runledger_sql CREATEROLE": "create roles",
    "GRANT pg_read_all_data TO runledger_sql": "other roles",
    "GRANT SELECT ON public.api_keys TO runledger_sql": "read public.api_keys",
    "GRANT SELECT (salts) ON public.ledger_entries TO runledger_sql": "read public.ledger_entries",
    "GRANT UPDATE ON public.runs TO runledger_sql": "change public.runs",
    "GRANT INSERT ON runledger_sql.runs TO runledger_sql": "change runledger_sql.runs",
    "ALTER TABLE public.run_tools OWNER TO runledger_sql": "owns tables",
    "GRANT CREATE ON SCHEMA public TO runledger_sql": "create tables",
    "GRANT TEMPORARY ON DATABASE {} TO PUBLIC": "temporary tables",
    "CREATE FUNCTION public.lent() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'": "acts as its owner",
    "DROP SCHEMA runledger_sql CASCADE": "sees no views",
}


@pytest.fixture
def rights(cluster: postgres.Cluster, server: Store) -> Iterator[psycopg.Connection]:
    """The owner's connection to a database of its own; changed rights of the role are undone at the end."""
    name = server.url.partition("?")[0].rpartition("/")[2]
    with cluster.admin(name) as connection:
        yield connection
        connection.execute("DROP FUNCTION IF EXISTS public.lent()")
        connection.execute("ALTER ROLE runledger_sql NOSUPERUSER NOCREATEROLE")
        connection.execute("REVOKE pg_read_all_data FROM runledger_sql")
        connection.execute("ALTER TABLE public.run_tools OWNER TO CURRENT_USER")
        connection.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM runledger_sql")
        connection.execute("REVOKE ALL (salts) ON public.ledger_entries FROM runledger_sql")
        connection.execute("REVOKE ALL ON SCHEMA public FROM runledger_sql")
        connection.execute(role_script.role().encode())


@pytest.mark.parametrize("change", BEYOND)
def test_a_role_that_can_do_more_is_refused(rights: psycopg.Connection, server: Store, change: str) -> None:
    rights.execute(change.format(rights.info.dbname).encode())
    with pytest.raises(errors.RoleTooPowerful, match=BEYOND[change]):
        server.ask("SELECT 1")


def test_the_owner_is_refused_as_the_role_for_statements(server: Store) -> None:
    with pytest.raises(errors.RoleTooPowerful, match="superuser"):
        sql_runner.run(server.url, statements.Statement("SELECT 1"))


# Bounds

COUNTING = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"
BOMBS = [
    COUNTING.format("count(*)"),
    COUNTING.format("max(x)"),
    COUNTING.format("x") + " ORDER BY x DESC",
    "SELECT count(*) FROM runs a, runs b, jobs c, " + ", ".join(f"ledger_entries e{n}" for n in range(25)),
]
LARGE = [
    "SELECT zeroblob(1000000000)",
    "SELECT hex(zeroblob(16000000))",
    "SELECT replace(hex(zeroblob(4000000)), '0', '0123456789')",
    "WITH RECURSIVE c(x) AS (SELECT 'a' UNION ALL SELECT x || x FROM c) SELECT max(length(x)) FROM c",
]


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_what_does_not_end_is_ended(store: Store, text: str) -> None:
    with pytest.raises((errors.StatementTimeout, errors.BadStatement)):
        store.ask(text, seconds=0.5)


def test_one_instruction_that_does_not_end_is_ended_too(file: Store) -> None:
    text = "SELECT instr(printf('%.*c', 9000000, 'a'), printf('%.*c', 4000000, 'a') || 'b')"
    with pytest.raises(errors.StatementTimeout):
        file.ask(text, seconds=0.2)


def test_a_server_ends_what_does_not_end(server: Store) -> None:
    with pytest.raises(errors.StatementTimeout):
        server.ask("SELECT count(*) FROM generate_series(1, 1000000000000)", seconds=0.3)


def test_a_server_that_makes_a_large_text_is_too_slow_and_not_unavailable(server: Store) -> None:
    with pytest.raises((errors.StatementTimeout, errors.BadStatement)):
        server.ask("SELECT array_agg(x) FROM generate_series(1, 2000000) AS x", seconds=0.2)


@pytest.mark.parametrize("text", LARGE, ids=range(len(LARGE)))
def test_what_is_too_large_is_refused_on_a_file(file: Store, text: str) -> None:
    with pytest.raises(errors.BadStatement, match="memory"):
        file.ask(text)


@pytest.mark.parametrize("text", ["SELECT repeat('x', 2000000)", "SELECT repeat('x', 2000000000)"])
def test_what_is_too_large_is_refused_on_a_server(server: Store, text: str) -> None:
    with pytest.raises(errors.BadStatement):
        server.ask(text)


def test_rows_are_cut_where_there_are_enough_of_them(store: Store) -> None:
    cut, whole = (store.ask("SELECT seq FROM runs", rows=rows) for rows in (1, 2))
    assert (len(cut.rows), cut.is_truncated) == (1, True)
    assert (len(whole.rows), whole.is_truncated) == (2, False)


def test_rows_are_cut_where_their_bytes_are_enough(store: Store) -> None:
    found = store.ask("SELECT a.id FROM ledger_entries a, ledger_entries b", size=500)
    assert found.is_truncated
    assert 0 < len(json.dumps(found.rows)) < 600


def test_rows_without_end_are_cut_as_well(store: Store) -> None:
    found = store.ask(COUNTING.format("x"), rows=3)
    assert (found.rows, found.is_truncated) == ([[1], [2], [3]], True)


# What is wrong


@pytest.mark.parametrize(
    ("text", "position"),
    [("SELECT nothing FROM runs", 7), ("SELECT 1 FROM runs WHERE +", 25), ("SELECT id\nFROM nowhere", 15)],
)
def test_a_mistake_is_shown_by_its_place(store: Store, text: str, position: int) -> None:
    with pytest.raises(errors.BadStatement) as caught:
        store.ask(text)
    assert caught.value.position in (position, None)  # SQLite does not always say where
    assert "nowhere" not in text or caught.value.position == position


@pytest.mark.parametrize("text", ["SELECT 'x", 'SELECT "x', "SELECT 1 /* x", "SELECT $a$ x"])
def test_what_a_server_complains_of_has_nothing_of_ours_in_it(server: Store, text: str) -> None:
    with pytest.raises(errors.BadStatement, match="unterminated") as caught:
        server.ask(text)
    assert "asked" not in str(caught.value)


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable):
        sql_runner.run(f"sqlite:///{tmp_path / 'none.db'}", statements.Statement("SELECT 1"))
    assert not (tmp_path / "none.db").exists()


PIECES = r"""
    SELECT * FROM runs api_keys run_steps salt secret_sha256 WITH x AS ( ) , ; -- /* */ ' " $1 INSERT INTO DELETE
    RETURNING UNION ALL WHERE = 1 count(*) sqlite_master pg_catalog public . RECURSIVE LIMIT VALUES JOIN main
    json_each ledger_entries salts \ $$ :: é NULL group_concat(name) USING
"""
WORDS = st.sampled_from(PIECES.split())


@given(text=st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=40).map("SELECT ".__add__))
def test_any_query_is_answered_or_refused(store: Store, text: str) -> None:
    assert SECRET not in store.outcome(text, "x")
