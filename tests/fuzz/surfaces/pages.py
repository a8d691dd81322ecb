"""Pages: hostile parameters, fields, cookies and ids, as a crafted link or a form sends them."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.fuzz import calls, values
from tests.fuzz.surfaces import headers, questions
from tests.fuzz.trial import Case, Known

_LISTS = (
    "/", "/runs", "/runs/facets", "/runs/summary", "/runs/complete", "/runs/actions", "/deliveries",
    "/deliveries/new", "/jobs", "/jobs/retry", "/sql", "/sql/csv", "/submit", "/views", "/keys", "/settings",
    "/keyboard", "/compare", "/bulk", "/ledger", "/sign-in", "/nothing",
)  # fmt: skip
_OF_RUNS = (
    "", "/answer.md", "/document", "/tags", "/again", "/steps/0", "/steps/1/output", "/steps/0/input/file",
    "/steps/99999999999", "/steps/x/content", "/receipt.json",
)  # fmt: skip
_PARAMETERS = (
    "q", "text", "at", "cursor", "range", "since", "until", "columns", "sort", "name", "view", "tab", "step",
    "from", "kind", "open", "a", "b", "sql", "run", "cause", "state", "verdict", "source", "agent", "next",
    "action", "id", "all", "only", "depth", "window", "zone", "before", "nothing",
)  # fmt: skip
_FORMS = (
    "/preferences", "/views", "/submit", "/keys", "/jobs/retry", "/runs/actions", "/sign-in", "/runs/{run}/tags",
    "/runs/{run}/again", "/runs/{run}/refresh", "/runs/{run}/notify", "/runs/{run}/cancel", "/views/{run}/delete",
    "/bulk/{run}/stop", "/deliveries/{run}/process", "/keys/{run}/revoke", "/runs/{run}/reviews",
)  # fmt: skip
_FIELDS = (
    "csrf", "name", "q", "theme", "zone", "back", "agent", "agentId", "prompt", "guidance", "model", "objects",
    "tags", "key", "value", "action", "id", "all", "next", "cause", "scopes", "scope", "shared", "columns",
    "idempotency_key", "verdict", "comment",
)  # fmt: skip
_COOKIES = ("runledger_session", "runledger_note", "zone", "theme", "run_columns", "nothing")


def draw(rng: random.Random, known: Known) -> Case:
    """Draw one request of a browser that is signed in."""
    makers: tuple[Callable[[random.Random, Known], calls.Request], ...] = (_listed, _of_run, _sent, _foreign)
    return Case(rng.choices(makers, (10, 6, 6, 2))[0](rng, known))


def _listed(rng: random.Random, known: Known) -> calls.Request:
    return _page(rng, known, rng.choice(_LISTS).encode())


def _of_run(rng: random.Random, known: Known) -> calls.Request:
    """Return a request for a page of one run, which may not exist."""
    run = rng.choice((*known.runs, *known.upstream)) if rng.random() < 0.7 else str(values.short_text(rng, 200)[1])
    return _page(rng, known, b"/runs/" + headers.quoted(run) + rng.choice(_OF_RUNS).encode())


def _page(rng: random.Random, known: Known, path: bytes) -> calls.Request:
    pairs = [(rng.choice(_PARAMETERS), _value(rng, known)) for _ in range(rng.choice((0, 1, 1, 2, 4)))]
    target = path + b"?" + _encoded(pairs) if pairs else path
    given = list(known.browser)
    if rng.random() < 0.3:
        given.append((b"hx-request", b"true"))
    return calls.Request("GET", target, tuple(given), sound=len(target) < 8000)


def _sent(rng: random.Random, known: Known) -> calls.Request:
    """Return a form, mostly with the token of its session."""
    run = rng.choice((*known.runs, "0", "x" * 200))
    pairs = [(name, _value(rng, known)) for name in values.some(rng, _FIELDS, 0, 5)]
    if rng.random() < 0.8:
        pairs.insert(0, ("csrf", known.form_token))
    body = _encoded(pairs) if rng.random() < 0.9 else str(values.text(rng)[1]).encode("utf-8", "surrogatepass")
    given = (*known.browser, (b"content-type", b"application/x-www-form-urlencoded"))
    return calls.Request("POST", rng.choice(_FORMS).replace("{run}", run).encode(), given, body)


def _foreign(rng: random.Random, known: Known) -> calls.Request:
    """Return a request with cookies that this server did not set."""
    pairs = [(rng.choice(_COOKIES), headers.quoted(_value(rng, known)[:2000])) for _ in range(rng.choice((1, 3)))]
    cookies = b"; ".join(name.encode() + b"=" + value for name, value in pairs)
    if rng.random() < 0.5:
        cookies += b"; " + known.cookie.encode()
    return calls.Request("GET", rng.choice(_LISTS).encode(), ((b"cookie", cookies), (b"accept", b"text/html")))


def _value(rng: random.Random, known: Known) -> str:
    likely = (
        *known.runs,
        known.cursor,
        "-cost",
        "1",
        "all",
        "7d",
        "2026-01-01..2026-12-31",
        "2026-11-25T10:00",
        "tag",
    )
    drawn = rng.random()
    if drawn < 0.3:
        return rng.choice(likely)
    return questions.question(rng) if drawn < 0.6 else str(values.short_text(rng, 1500)[1])


def _encoded(pairs: list[tuple[str, str]]) -> bytes:
    return b"&".join(headers.quoted(name) + b"=" + headers.quoted(value) for name, value in pairs)
