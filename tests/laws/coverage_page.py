"""docs/reference/ledger-coverage.md: which entry stands for which column, made from the verifier's list."""

from __future__ import annotations

from receiver.verifier import coverage

HEAD = """# What the ledger covers

Made from `receiver/verifier/coverage.py` by `make docs`; `runledger ledger verify` compares these columns.
For each column of a run's record, of legal holds and of reports of completeness there is a fact, a digest or
a field of [ledger entries](ledger.md) that stands for it, or a reason why none does. `*` means every entry.
The target of a hold on one run is the run of its entry.

A column is compared with the newest entry about it. While a run is open, the measures of its end have no
entry yet; of an end that the upstream did not report the entry has few measures. Entries of releases before
this page lack `model` of ends, `acceptedAt` of adopted runs, and `cancelRequestedAt` and `againOf` of
imported ones: then these columns are not compared. A digest that does not fit says that its value or its salt
was changed. Which of the two is known where another hash, or the form of the salt, shows it.
"""


def page() -> str:
    """Return the page."""
    parts = [_covered(), _exempt(), _outside()]
    return "\n".join([HEAD, *parts])


def _covered() -> str:
    rows = [
        f"| `{table}` | `{column}` | {_stands(cover)} | {', '.join(f'`{kind}`' for kind in cover.kinds)} |"
        for table, columns in coverage.COVERED.items()
        for column, cover in columns.items()
    ]
    return "\n".join(
        ["## Covered", "", "| table | column | stands for it | kinds |", "|---|---|---|---|", *rows, ""]
    )


def _stands(cover: coverage.Cover) -> str:
    if cover.fact is not None:
        return f"fact `{cover.fact}`"
    return f"digest `{cover.digest}`" if cover.digest is not None else f"{cover.field}"


def _exempt() -> str:
    rows = [
        f"| `{table}` | `{column}` | {reason} |"
        for table, columns in coverage.EXEMPT.items()
        for column, reason in columns.items()
    ]
    return "\n".join(["## Not covered", "", "| table | column | why |", "|---|---|---|", *rows, ""])


def _outside() -> str:
    rows = [f"| `{table}` | {reason} |" for table, reason in coverage.OUTSIDE.items()]
    head = ["## Tables outside", "", "Tables that are no part of a run's record.", ""]
    return "\n".join([*head, "| table | why |", "|---|---|", *rows, ""])
