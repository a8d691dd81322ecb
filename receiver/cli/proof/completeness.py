"""The report that compares the upstream's list with the store: made, kept, and shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from receiver import clock, errors, settings
from receiver.cli import api_calls, open_database
from receiver.cli.commands import backfill
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines
from receiver.worker import completeness
from storage import ids, merkle
from storage.actions import completeness as reports
from storage.engine import column_types
from storage.query import value_ranges

#: Runs of one kind that people are shown.
SHOWN = 10
_TITLES = {
    "missing": ("listed upstream and not in the store", completeness.MISSING),
    "extra": ("in the store and not listed upstream", completeness.EXTRA),
    "differing": ("in different states", completeness.DIFFERING),
}


async def check(begin: str, end: str | None, as_json: bool) -> None:
    """Compare, keep the report with its entry, and show both. Raise CommandError."""
    given, now = settings.load(), clock.now()
    settings.require_api_key(given)
    span = value_ranges.moment("from", begin, now), value_ranges.moment("to", end, now) if end else now
    first, last, today = map(render_format.instant, (*span, now))
    if span[1] > now:
        raise CommandError(f"--to {last} is in the future: it is {today} now", USAGE)
    if span[0] >= span[1]:
        raise CommandError(f"--from {first} is not before --to {last}", USAGE)
    async with open_database.existing(given) as store, backfill.task_context(given, store) as context:
        try:
            with backfill.progress_bar() as show:
                found = await completeness.compare(
                    replace(context, adopt_all=given.adopt == "all"),
                    *span,
                    lambda done, what: show(done, None, what),
                )
        except errors.UpstreamError as failure:
            raise CommandError(f"{failure}. Nothing was compared, and no report is kept: try again") from None
        report = _report(found, given.casedev_base_url, context.clock())
        await store.write(reports.record, report, api_calls.OPERATOR.actor)
    if as_json:
        json_lines.mapping(_object(report))
    else:
        _show(found, report)


def _report(found: completeness.Comparison, upstream: str, now: datetime) -> reports.Report:
    instants = {"at": now, "from": found.begin, "to": found.end, "listEnds": found.list_ends}
    parts = {name: getattr(found, name).values() for name in _TITLES}
    content = {
        "v": 1,
        "upstream": upstream,
        **{name: column_types.instant_text(each) for name, each in instants.items() if each is not None},
        "listed": found.listed,
        "stored": found.stored,
        **parts,
    }
    body = merkle.canonical(content).decode()
    digests = merkle.salted_digest("report", body)
    return reports.Report(ids.new(now), now, found.begin, found.end, found.counts, body, digests)


def _object(report: reports.Report) -> Mapping[str, Any]:
    (digest,) = report.digests
    salt = None if digest.salt is None else digest.salt.hex()
    return {"id": report.id, "report": json.loads(report.body), "digest": digest.hex, "salt": salt}


def _show(found: completeness.Comparison, report: reports.Report) -> None:
    count = render_format.count
    begin, end = render_format.instant(found.begin), render_format.instant(found.end)
    print(
        f"Runs created from {begin} to {end}: {count(found.listed)} listed upstream, {count(found.stored)} stored."
    )
    if found.list_ends is not None and found.list_ends > found.begin:
        oldest = render_format.instant(found.list_ends)
        print(f"The oldest run that the upstream lists was created at {oldest}.")
    for name, (title, reasons) in _TITLES.items():
        findings: completeness.Findings = getattr(found, name)
        print(f"{count(findings.count)} {title}{':' if findings.count else '.'}")
        for reason, number in findings.reasons.most_common():
            print(f"  {count(number)} {reason}: {reasons[reason]}")
        for each in findings.runs[:SHOWN]:
            states = " and ".join(f"{each[key]} ({where})" for key, where in _WHERE.items() if key in each)
            print(f"    {each.get('upstreamId') or each['run']} {each['reason']}, {states}")
        if findings.count > SHOWN:
            print(f"    and {count(findings.count - SHOWN)} more, which --json names")
    (digest,) = report.digests
    print(f"Report {report.id} is kept, and the ledger has its digest {digest.hex}.")
    if found.missing.count > completeness.NAMED or found.extra.count > completeness.NAMED:
        print(f"The report names the first {count(completeness.NAMED)} of a kind.", file=sys.stderr)


_WHERE = {"listed": "upstream", "stored": "here"}
