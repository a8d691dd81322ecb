"""The command that shows what the retention of the settings removes."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from receiver import clock, setting_values, settings, timeouts
from receiver.cli import event_loop, open_database, options
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import option
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, table
from receiver.cli.render.table import Column
from receiver.worker import retention as worker_retention
from storage.retention import erasing

app = event_loop.commands()


class Rule(NamedTuple):
    """A rule, and what its next look would find."""

    state: str
    days: int
    found: erasing.Survey


RULES: table.Listing[Rule] = table.Listing(
    "RUNLEDGER_RETENTION is empty: content is kept. --rules 'completed=365d' shows what a rule would erase.",
    Column("state", lambda rule: table.state(rule.state)),
    Column("after", lambda rule: f"{rule.days} d", right=True),
    Column("runs", lambda rule: render_format.count(rule.found.runs), right=True),
    Column("about", lambda rule: render_format.size(rule.found.size), right=True),
    Column("since", lambda rule: render_format.instant(rule.found.oldest) if rule.found.oldest else None),
    Column("with jobs", lambda rule: render_format.count(rule.found.busy), right=True),
    Column("under a hold", lambda rule: render_format.count(rule.found.held), right=True),
)


@app.command()
async def retention(
    rules: Annotated[str | None, option("RULES", "These, in place of RUNLEDGER_RETENTION.")] = None,
    as_json: options.Json = False,
) -> None:
    """Show for each rule of RUNLEDGER_RETENTION what it would erase.

    Nothing is removed by this: the worker does it, every hour. Runs with open
    jobs or under a hold stay.

    \b
    Examples:
      runledger retention
      runledger retention --rules 'completed=365d failed=90d'
    """
    try:
        ages = settings.load().retention if rules is None else setting_values.ages(rules)
    except ValueError as fault:
        raise CommandError(f"--rules: {fault}", USAGE) from None
    async with open_database.existing() as store:
        found = [
            Rule(*age, await store.read(erasing.survey, worker_retention.old(age, clock.now()))) for age in ages
        ]
    if not as_json:
        RULES.show(found)
        return
    seconds = int(timeouts.Timing().retention)
    for rule in found:
        counts = {"runs": rule.found.runs, "busyRuns": rule.found.busy, "heldRuns": rule.found.held}
        span = {"contentBytes": rule.found.size, "oldest": rule.found.oldest, "newest": rule.found.newest}
        json_lines.mapping({"state": rule.state, "days": rule.days, **counts, **span, "everySeconds": seconds})
