"""Pages that are made from the code: `python -m tests.laws.documents` writes them, a test compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer.main
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from sqlalchemy import CheckConstraint, Dialect, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql, sqlite

from receiver import settings
from receiver.cli import main
from receiver.cli.remote import reach
from storage import states
from storage.models import declare
from storage.models import schema as storage_schema
from tests.laws import api_page, client_code, coverage_page, metrics_page, pages, role_script, table_code

DIALECTS: list[Dialect] = [sqlite.dialect(), postgresql.dialect()]  # type: ignore[no-untyped-call]

SCHEMA_HEAD = """# Tables

Made from `storage/models` by `make docs`. You may query them with your own SQL; names are kept, columns may
be added. Instants are UTC: text of fixed width on SQLite (`2026-11-23T12:00:00.000000Z`), `timestamptz` on
PostgreSQL. JSON is text or `jsonb`. Costs are micro-dollars, durations milliseconds. `seq` is the order of
arrival inside one database and joins tables; it is never the cursor of a feed.
"""

PROGRAM: Any = typer.main.get_command(main.app)

ENV_HEAD = """# Settings of Runledger, made from receiver/settings.py by `make docs`.
# Copy to .env and uncomment what you need. Several values are separated by commas or spaces.
"""


def schema() -> str:
    """Return docs/reference/tables.md."""
    return SCHEMA_HEAD + "".join(_table(table) for table in storage_schema.metadata.sorted_tables)


def _table(table: Table) -> str:
    model = next(each for each in declare.Base.__subclasses__() if each.__tablename__ == table.name)
    said = " ".join((model.__doc__ or "").split())
    lines = [f"\n## {table.name}\n\n{said}\n\n| column | SQLite | PostgreSQL | null |\n|---|---|---|---|\n"]
    for column in table.columns:
        kinds = [column.type.compile(dialect=each) for each in DIALECTS]
        lines.append(f"| `{column.name}` | {kinds[0]} | {kinds[1]} | {'yes' if column.nullable else 'no'} |\n")
    lines += [f"\n{line}\n" for line in _rules(table)]
    return "".join(lines)


def _rules(table: Table) -> list[str]:
    keyed = ", ".join(f"`{column.name}`" for column in table.primary_key)
    rules = [f"Primary key: {keyed}."]
    for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, UniqueConstraint):
            rules.append("Unique: " + ", ".join(f"`{column.name}`" for column in constraint.columns) + ".")
        if isinstance(constraint, CheckConstraint):
            rules.append(f"Check: `{constraint.sqltext}`.")
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        where = index.dialect_options["sqlite"]["where"]
        rest = f" where `{where}`" if where is not None else ""
        rules.append("Index: " + ", ".join(f"`{column.name}`" for column in index.columns) + f"{rest}.")
    return rules


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return name.upper() if name.startswith("casedev") else settings.PREFIX + name.upper()


def env_example() -> str:
    """Return deploy/env.example."""
    return ENV_HEAD + "".join(_setting(name, each) for name, each in settings.Settings.model_fields.items())


def setting_table() -> str:
    """Return the table of docs/reference/settings.md."""
    rows = [
        f"| `{variable(name)}` | {f'`{shown}`' if (shown := _shown(each.default)) else ''} | {each.description} |"
        for name, each in settings.Settings.model_fields.items()
    ]
    return pages.fill("reference/settings.md", _joined("| setting | default | meaning |", rows))


def state_table() -> str:
    """Return the table of transitions of docs/explain/life-of-a-run.md."""
    rows = [f"| `{begin}` | `{end}` | {why} |" for (begin, end), why in states.MOVES.items()]
    return pages.fill("explain/life-of-a-run.md", _joined("| from | to | when |", rows))


def _joined(head: str, rows: Sequence[str]) -> str:
    """Return a table of Markdown with three columns."""
    return "\n".join([head, "|---|---|---|", *rows])


def _setting(name: str, each: FieldInfo) -> str:
    return f"\n# {each.description}\n#{variable(name)}={_shown(each.default)}\n"


def _shown(default: object) -> str:
    if default is None or default == () or isinstance(default, SecretStr):
        return ""
    return str(default)


def commands() -> list[tuple[str, Any]]:
    """Return every command by its full name, sorted: `jobs`, `jobs retry`, and so on."""
    named = [each for name in main.COMMANDS for each in _below(name, main.load(name))]
    return sorted(named, key=lambda each: each[0])


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield name, command
    for word, each in below.items():
        yield from _below(f"{name} {word}", each)


def help_texts() -> str:
    """Return where each command works, and the help texts, of docs/reference/commands.md."""
    rows = [f"| `runledger {name}` | {_REACH[reach.of(name)]} |" for name, _ in commands()]
    table = "\n".join(["| command | from another machine |", "|---|---|", *rows])
    texts = "\n".join(_command(*each) for each in commands()).rstrip("\n")
    return pages.fill("reference/commands.md", f"{table}\n\n{texts}")


#: Where a command works, as the table of commands says it.
_REACH = {
    reach.Reach.SERVER: "yes",
    reach.Reach.MACHINE: "no: on the machine of the server",
    reach.Reach.ANYWHERE: "needs no server",
}


def _command(name: str, command: Any) -> str:
    text = command.get_help(
        command.context_class(
            command, info_name=f"runledger {name}", terminal_width=80, **PROGRAM.context_settings
        )
    )
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"### `runledger {name}`\n\n```text\n{lines}\n```\n"


SQL_HEAD = """-- What `runledger sql` and POST /v1/sql need on PostgreSQL: a role, and the views that it can read.
-- Made from storage/user_sql/readable_columns.py by `make docs`. Run it once, and again after each
-- `runledger migrate`, as the owner of the tables, who has to be allowed to make roles:
--   psql --single-transaction --set ON_ERROR_STOP=1 --file sql-role.sql "$RUNLEDGER_DATABASE_URL"
-- Then give the role a password, in psql: \\password runledger_sql

"""


def sql_role() -> str:
    """Return deploy/sql-role.sql."""
    return SQL_HEAD + role_script.role()


PAGES: dict[str, Callable[[], str]] = {
    "deploy/env.example": env_example,
    "deploy/sql-role.sql": sql_role,
    "docs/reference/tables.md": schema,
    "docs/reference/commands.md": help_texts,
    "docs/reference/settings.md": setting_table,
    "docs/reference/http-api.md": api_page.page,
    "docs/reference/metrics.md": metrics_page.page,
    "docs/reference/ledger-coverage.md": coverage_page.page,
    "docs/explain/life-of-a-run.md": state_table,
    "receiver/client/answers.py": client_code.answers,
    "receiver/client/filters.py": client_code.filters,
    "receiver/client/asynchronous.py": client_code.asynchronous,
    **table_code.PAGES,
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (pages.ROOT / page).write_text(make())
