"""Submissions and queries through the API: bodies, filters, cursors, ids, ranges, SQL."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.fuzz import calls, values
from tests.fuzz.surfaces import headers
from tests.fuzz.trial import Case, Known

_NAMES = (
    "status", "agent", "model", "origin", "settled_by", "created", "accepted", "settled", "cost", "duration",
    "tokens",
    "tool", "has", "tag.client", "tag.", "tag.é", "nothing", "q",
)  # fmt: skip
_VALUES = (
    "failed", "completed,failed", "*", "anthropic/*", ">0.50", "<=1e400", ">-7d", "2026-11-23",
    "2026-01-01..2026-12-31",
    "..", ">", "-1", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59Z", "0000-00-00", ">-999d", "2026-02-30",
    "90s..1.5h",
    "1.5h..90s", "10k..20k", "99999999999999999999", "0.0000001", ">99999999", "1_000", "$5", "NaN",
    "failure_reason",
    '"force majeure"', '"', "''", "%", "_", "\\", "a*b*", ">=0.." "<5", "١٢", "-999999999d", "..9999-12-31",
    "1e3", "+1",
    "2026-11-25T10:00:00Z", "-0d", ">999999999999M", "999999999d",
)  # fmt: skip
_PIECES = (
    "(",
    ")",
    " OR ",
    "-",
    '"',
    "*",
    ":",
    ",",
    " ",
    "..",
    "  ",
    "NOT ",
    "AND ",
    "\\",
    "--",
    "((((((((((",
    "\u3000",
)
_LISTS = (
    "/v1/runs",
    "/v1/stats",
    "/v1/export",
    "/v1/changes",
    "/v1/deliveries",
    "/v1/jobs",
    "/v1/jobs/causes",
    "/v1/bulk",
)
_PARAMETERS = (
    "sort", "limit", "cursor", "count", "by", "format", "documents", "trailer", "after", "kind", "run",
    "verdict", "source",
    "source", "state", "cause", "version", "lastEventId", "nothing", "tag.a", "", "bom",
)  # fmt: skip
_OF_RUNS = ("", "/steps", "/timeline", "/document", "/events", "/reviews")
_SQL = (
    "SELECT * FROM runs", "SELECT 1; SELECT 2", "SELECT", "", "SELECT * FROM runs WHERE id = ?",
    "DELETE FROM runs",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM t) SELECT n FROM t",
    "SELECT randomblob(100000000)",
    "SELECT 1e400, -1e400, 9223372036854775807 + 1, x'00ff', 'a' || char(0) || 'b'", "PRAGMA user_version",
    "SELECT '\ud800'",
    "ATTACH 'x' AS y", "SELECT zeroblob(1000000)", "SELECT " + "(" * 2000 + "1" + ")" * 2000,
    "SELECT '" + "x" * 100_000 + "'",
    "SELECT count(*) FROM runs a, runs b, runs c, runs d, runs e, runs f, runs g", "VALUES (1), (2)",
    "EXPLAIN SELECT 1",
    "SELECT printf('%.*c', 100000000, 'x')", "SELECT json('{')", "SELECT load_extension('x')", "/* */",
    "SELECT \x00",
    "SELECT * FROM sqlite_master", "SELECT 1 AS a, 2 AS a", "SELECT strftime('%s', 'now')", "COPY runs TO STDOUT",
)  # fmt: skip


def draw(rng: random.Random, known: Known) -> Case:
    """Draw one request."""
    return Case(rng.choices((_listed, _of_run, _submitted, _sql, _posted), (10, 4, 5, 2, 2))[0](rng, known))


def _listed(rng: random.Random, known: Known) -> calls.Request:
    """Return a request for a list with filters and parameters."""
    path = rng.choice(_LISTS)
    pairs = [(rng.choice(_NAMES), _value(rng)) for _ in range(rng.choice((0, 1, 1, 2)))]
    if rng.random() < 0.5:
        pairs.append(("q", question(rng)))
    pairs += [(name, _parameter(rng, name, known)) for name in values.some(rng, _PARAMETERS, 0, 2)]
    target = path.encode() + b"?" + b"&".join(headers.quoted(name) + b"=" + headers.quoted(v) for name, v in pairs)
    return calls.Request("GET", target, (known.auth,), sound=len(target) < 8000)


def _value(rng: random.Random) -> str:
    return rng.choice(_VALUES) if rng.random() < 0.7 else str(values.short_text(rng, 1500)[1])


def question(rng: random.Random) -> str:
    """Return a query in the filter language, or nearly."""
    parts = []
    for _ in range(rng.choice((1, 2, 5, 40))):
        draw = rng.random()
        if draw < 0.55:
            parts.append(f"{rng.choice(_NAMES)}:{rng.choice(_VALUES)}")
        elif draw < 0.8:
            parts.append(rng.choice(_PIECES))
        else:
            parts.append(str(values.short_text(rng, 100)[1]))
        parts.append(rng.choice((" ", " ", " OR ", "")))
    return "".join(parts)[:4100]


def _parameter(rng: random.Random, name: str, known: Known) -> str:
    likely: dict[str, tuple[str, ...]] = {
        "cursor": (known.cursor, known.cursor[:-3], known.cursor + "A", known.cursor[::-1], ""),
        "after": (known.runs[0], "-1", "0", "9" * 16, "9" * 19),
        "run": (*known.runs, *known.upstream),
        "limit": ("1", "250", "251", "0", "-1", "1e2", "1_0"),
        "sort": ("-relevance", "cost", "-tokens", "--cost"),
        "by": ("agent", "day", "month", "tag.client", "tag." + "a" * 65, "failure_reason", "hour"),
        "format": ("csv", "jsonl", "parquet", "xml"),
        "lastEventId": ("0", "999999999999999", "1000000000000000"),
        "version": ("1", "2", "9007199254740991", "9007199254740992"),
    }
    return rng.choice(likely[name]) if name in likely and rng.random() < 0.7 else _value(rng)


def _of_run(rng: random.Random, known: Known) -> calls.Request:
    """Return a request about one run, which may not exist."""
    run = rng.choice((*known.runs, *known.upstream)) if rng.random() < 0.6 else str(values.short_text(rng, 600)[1])
    target = b"/v1/runs/" + headers.quoted(run) + rng.choice(_OF_RUNS).encode()
    if rng.random() < 0.5:
        name = rng.choice(_PARAMETERS)
        target += b"?" + headers.quoted(name) + b"=" + headers.quoted(_parameter(rng, name, known))
    return calls.Request("GET", target, (known.auth,), sound=len(target) < 8000)


def _submitted(rng: random.Random, known: Known) -> calls.Request:
    """Return a submission with hostile texts, most of which are acceptable."""
    fields: dict[str, Any] = {"agentId": known.agent, "prompt": f"Review the lease. {rng.getrandbits(48):x}"}
    for name in values.some(
        rng, ("prompt", "guidance", "model", "objectIds", "tags", "agentId", "instructions", "extra"), 0, 2
    ):
        fields[name] = _field(rng, name)
    body = values.encoded(fields, ascii_only=rng.random() < 0.6)
    if rng.random() < 0.1:
        body = rng.choice(
            (
                body[:-1],
                b"\xef\xbb\xbf" + body,
                body.decode("utf-8", "replace").encode("utf-16"),
                b"[" * 100_000,
                b"",
            )
        )
    given = [known.auth, (b"content-type", b"application/json")]
    if rng.random() < 0.3:
        given.append((b"idempotency-key", rng.choice((b"k" * 255, b"%x" % rng.getrandbits(64), b"twice"))))
    return calls.Request("POST", b"/v1/runs", tuple(given), body, "submission")


def _field(rng: random.Random, name: str) -> Any:
    if rng.random() < 0.3:
        return values.drawn(rng)[1]
    if name == "objectIds":
        return [values.short_text(rng, 250)[1] for _ in range(rng.choice((0, 1, 30)))]
    if name == "tags":
        return {rng.choice(("client", "a-b", str(values.short_text(rng, 70)[1]))): values.short_text(rng, 250)[1]}
    return values.short_text(rng, 200)[1] if name in ("model", "agentId") else values.text(rng)[1]


def _sql(rng: random.Random, known: Known) -> calls.Request:
    """Return a request with an SQL statement."""
    statement = rng.choice(_SQL) if rng.random() < 0.8 else values.text(rng)[1]
    asked: dict[str, Any] = {"sql": statement}
    if rng.random() < 0.5:
        asked["parameters"] = [values.drawn(rng)[1] for _ in range(rng.choice((0, 1, 2)))]
    if rng.random() < 0.3:
        asked["limit"] = values.drawn(rng, values.NUMBERS)[1]
    return calls.Request(
        "POST", b"/v1/sql", (known.auth, (b"content-type", b"application/json")), values.encoded(asked)
    )


def _posted(rng: random.Random, known: Known) -> calls.Request:
    """Return one of the other POST requests."""
    run = rng.choice((*known.runs, *known.upstream, "run_elsewhere", "x" * 200))
    path, body = rng.choice(
        (
            ("/v1/watch", {"runId": rng.choice((run, values.text(rng)[1]))}),
            ("/v1/jobs/retry", {"cause": values.text(rng)[1], "dryRun": rng.choice((True, 1))}),
            (f"/v1/jobs/{headers.quoted(run).decode()}/retry", {}),
            ("/v1/views", {"name": values.text(rng)[1], "question": values.text(rng)[1]}),
            ("/v1/bulk", {"action": "tag", "q": values.text(rng)[1], "tags": {"a": None}, "dryRun": True}),
            (f"/v1/runs/{run}/notify", {}),
            (f"/v1/runs/{run}/reviews", {"verdict": "approved", "comment": values.text(rng)[1]}),
            (f"/v1/runs/{run}/refresh", {}),
            (f"/v1/runs/{run}/cancel", values.drawn(rng)[1]),
        )
    )
    sent = values.encoded(body) if isinstance(body, dict) else json.dumps(str(body)[:1000]).encode()
    return calls.Request("POST", path.encode(), (known.auth, (b"content-type", b"application/json")), sent)
