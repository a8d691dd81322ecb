"""The page of evidence that people read and print. It is made of checked values alone, and runs nothing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from receiver.verifier.evidence import runs, values

#: The most characters of a text that the page shows; the file has all of it.
SHOWN = 20_000
#: Characters that a page must not have, or by which a text could be read in another order than it is written.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}"
    "h2{margin-top:2.5em;border-top:2px solid #111;padding-top:.5em;overflow-wrap:anywhere}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.8em}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2em .8em .2em 0;"
    "border-bottom:1px solid #ccc;overflow-wrap:anywhere}"
    "@media print{body{margin:0;max-width:none}h2{break-before:page}pre{background:none;border:1px solid #999}}"
)
_HEAD = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    '<meta name="viewport" content="width=device-width"><title>Evidence of agent runs</title>\n'
    f"<style>{_STYLE}</style></head><body>\n<h1>Evidence of agent runs</h1>\n"
)
_LABELS = {
    "status": "State",
    "upstreamId": "Id at the upstream",
    "origin": "Origin",
    "submittedBy": "Submitted by",
    "againOf": "Again of",
    "agentId": "Agent",
    "model": "Model",
    "acceptedAt": "Accepted",
    "createdAt": "Created",
    "startedAt": "Started",
    "completedAt": "Completed",
    "settledAt": "Settled",
    "settledBy": "End reported by",
    "durationMs": "Duration, milliseconds",
    "costMicros": "Cost, millionths of a dollar",
    "inputTokens": "Input tokens",
    "outputTokens": "Output tokens",
    "toolCalls": "Tool calls",
    "stepCount": "Steps",
    "failureSource": "Failure found in",
    "review": "Judgement of a review",
}
_TEXTS = {
    "prompt": "Prompt",
    "guidance": "Guidance",
    "instructions": "Instructions",
    "objectIds": "Objects",
    "tags": "Tags",
    "failureReason": "Reason of the failure",
    "summary": "Summary",
    "output": "Answer",
}
_STATES = {
    values.DISCLOSED: "In this evidence",
    values.WITHHELD: "Withheld",
    values.ERASED: "Erased",
    values.REPLACED: "Replaced by a later value",
    values.MISSING: "Missing",
}


def head(log: runs.Log, run_ids: Iterable[str]) -> str:
    """Return the beginning of the page: the log, and the runs."""
    listed = "".join(f'<li><a href="#run-{escaped(each)}">{escaped(each)}</a></li>' for each in run_ids)
    signed = f"{log.checkpoint.size} entries of {log.checkpoint.origin}"
    return (
        f"{_HEAD}<p>README.txt says how this is verified. What is below is under a checkpoint of "
        f"{escaped(signed)}.</p>\n<ol>{listed}</ol>\n<pre>{escaped(log.note.decode())}</pre>\n"
    )


def foot() -> str:
    """Return the end of the page."""
    return "</body></html>\n"


def section(run: runs.Run) -> str:
    """Return the part about one run."""
    return f'<h2 id="run-{escaped(run.id)}">Run {escaped(run.id)}</h2>\n' + "".join(_parts(run))


def _parts(run: runs.Run) -> Iterator[str]:
    facts = [(label, run.record[name]) for name, label in _LABELS.items() if name in run.record]
    states = [(label, ", ".join(run.names(state))) for state, label in _STATES.items()]
    yield _table([], [*facts, *((label, names) for label, names in states if names)])
    for name, label in _TEXTS.items():
        if name in run.texts:
            yield f"<h3>{label}</h3>\n<pre>{_cut(run.texts[name])}</pre>\n"
    if "steps" in run.texts:
        yield "<h3>Steps</h3>\n"
        yield _table(["#", "When", "Type", "Tool", "Content"], map(_step, run.texts["steps"].split(b"\n")[:-1]))
    if run.deliveries:
        yield "<h3>Deliveries</h3>\n"
        shown = ("receivedAt", "source", "verdict", "eventId", "size")
        received = [[of.get(name) for name in shown] for _, of in sorted(run.deliveries.items())]
        yield _table(["Received", "Source", "Verdict", "Event", "Bytes"], received)
    for number, entry in run.entries:
        if entry["kind"] == "run.reviewed":
            said = f"Review {entry['facts'].get('verdict')} by {entry['facts'].get('by')}, entry {number}"
            yield f"<h3>{escaped(said)}</h3>\n"
            yield f"<pre>{_cut(run.comments.get(str(entry['facts'].get('reviewId')), b''))}</pre>\n"
    yield "<h3>Entries of the ledger</h3>\n"
    yield _table(["Number", "At", "Kind", "By", "Facts"], map(_entry, run.entries))


def _step(row: bytes) -> list[object]:
    step = json.loads(row)
    content = str(step.get("content") or "")
    return [step.get(name) for name in ("position", "timestamp", "type", "tool_name")] + [content[:300]]


def _entry(numbered: tuple[int, dict[str, Any]]) -> list[object]:
    number, entry = numbered
    shown = json.dumps(entry["facts"], ensure_ascii=False, sort_keys=True)
    return [number, entry["at"], entry["kind"], entry["actor"], shown]


def _table(names: list[str], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th>{each}</th>" for each in names)
    lines = ["".join(f"<td>{escaped('' if cell is None else str(cell))}</td>" for cell in row) for row in rows]
    return "<table>\n" + "".join(f"<tr>{line}</tr>\n" for line in [head, *lines] if line) + "</table>\n"


def _cut(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    more = f"\n[… {len(text) - SHOWN} more characters are in the file]" if len(text) > SHOWN else ""
    return escaped(text[:SHOWN] + more)


def escaped(text: str) -> str:
    """Return a text as it may stand anywhere on the page."""
    return html.escape(_UNSEEN.sub("\ufffd", text))
