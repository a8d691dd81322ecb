"""Commands of an operator, while the upstream's answers to them are changed."""

from __future__ import annotations

import random

from tests.fuzz.surfaces import questions
from tests.fuzz.trial import Case, Known
from tests.fuzz.upstream_proxy import Plan

#: A command, and the routes whose answers it asks for.
_COMMANDS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("webhooks", "register"), ("webhooks",)),
    (("webhooks", "rotate"), ("webhooks",)),
    (("webhooks", "status"), ("webhooks",)),
    (("webhooks", "resume"), ("webhooks",)),
    (("webhooks", "remove"), ("webhooks",)),
    (("backfill", "--restart"), ("list", "details")),
    (("backfill", "--restart", "--no-wait"), ("list",)),
    (("doctor",), ("list", "webhooks", "agents")),
    (("runs",), ()),
    (("jobs", "list"), ()),
    (("stats",), ()),
    (("deliveries",), ()),
)


def draw(rng: random.Random, known: Known) -> Case:
    """Draw one command; the answers of the upstream are changed a few times, and queries are hostile."""
    command, routes = rng.choice(_COMMANDS)
    plans = tuple(
        Plan(rng.choice(routes), rng.getrandbits(32), rng.choice((1, 2)), rng.choice((1, 3, 300)))
        for _ in range(rng.choice((1, 2)) if routes else 0)
    )
    if command == ("runs",):
        asked = questions.question(rng).replace("\x00", "").encode("utf-8", "replace").decode()[:800]
        command = ("runs", "--", asked) if rng.random() < 0.5 else ("runs", "--json")
    return Case(plans=plans, command=command)
