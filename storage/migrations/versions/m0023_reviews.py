"""Add what people say about runs that have ended, and the newest judgement beside the run."""

from storage.migrations.declarations import INSTANT, INTEGER, TEXT, add, columns, index, partial_index, table

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    table(
        "run_reviews",
        columns(INTEGER, "seq"),
        columns(TEXT, "id", "run_id", "verdict"),
        columns(TEXT, "comment", null=True),
        columns(TEXT, "by"),
        columns(INSTANT, "at"),
        key=("seq",),
        unique=(("id",),),
        checks={"verdict": "verdict IN ('approved', 'rejected', 'comment')"},
    )
    index("run_reviews", "run_id")
    add("runs", columns(TEXT, "review", null=True))
    partial_index("ix_runs_review", "runs", ["review", "seq"], "review IS NOT NULL")
