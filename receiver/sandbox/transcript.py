"""What a run appears to do: steps, priced usage and a result, all settled by a seed before it starts.

Moments are shares of the run's duration (0 its start, 1 its end), so that the same transcript serves a run of
two seconds and one of ten minutes, and shows as much of itself as has happened.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Sequence

from receiver.sandbox import vocabulary

_PRICES = {"haiku": (1, 5), "sonnet": (3, 15), "opus": (15, 75)}  # micro-dollars per token, in and out


@dataclasses.dataclass(frozen=True)
class Step:
    """One step; `lasts` is its share of the run's duration, None where the service gives no duration."""

    id: str
    type: str
    moment: float
    lasts: float | None
    content: str | None = None
    tool: str | None = None
    given: object = None
    found: object = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One priced call, to a model (`tool` is None) or to a service; the cost is in micro-dollars."""

    id: str
    moment: float
    tool: str | None
    cost_micros: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    step_id: str = ""


@dataclasses.dataclass(frozen=True)
class Transcript:
    """A whole run, told before it happens. `pace` stretches its duration; `chance` settles whether it fails."""

    pace: float
    chance: float
    steps: tuple[Step, ...]
    entries: tuple[Entry, ...]
    output: str
    summary: str
    created: tuple[str, ...]
    failure: str
    failure_place: str
    runtime_id: str


def written(seed: str, prompt: str, model: str, object_ids: Sequence[str]) -> Transcript:
    """The transcript of a seed: 11 to 40 steps, the last of them the output."""
    rng = random.Random(seed)
    topic = _topic(rng, prompt)
    summary = f"Reviewed the record on {topic}. {vocabulary.sentence(rng)}"
    output = _memo(rng, topic, summary)
    created = tuple(vocabulary.identifier(rng, "obj_") for _ in range(rng.randint(1, 2)))
    steps = _steps(
        rng, rng.randint(11, 40), topic, output, list(object_ids) or [vocabulary.identifier(rng, "obj_")]
    )
    return Transcript(
        pace=rng.uniform(0.8, 1.2),
        chance=rng.random(),
        steps=steps,
        entries=_entries(rng, steps, model),
        output=output,
        summary=summary,
        created=created,
        failure=rng.choice(vocabulary.FAILURES),
        failure_place=rng.choice(("issues", "logs", "steps", "state")),
        runtime_id=vocabulary.identifier(rng, "rt_"),
    )


def _topic(rng: random.Random, prompt: str) -> str:
    chosen = rng.choice(vocabulary.TOPICS)
    return next((topic for topic in vocabulary.TOPICS if topic in prompt.lower()), chosen)


def _memo(rng: random.Random, topic: str, summary: str) -> str:
    parts = [f"# Research memorandum: {topic}", summary]
    for title in ("Question presented", "Brief answer", "Facts from the record", "Analysis", "Recommendation"):
        parts += [f"## {title}", vocabulary.paragraph(rng, 2, 5)]
    authorities = "\n".join(f"- {vocabulary.case(rng)}" for _ in range(rng.randint(3, 6)))
    return "\n\n".join([*parts, "## Authorities", authorities])


def _steps(rng: random.Random, count: int, topic: str, output: str, objects: list[str]) -> tuple[Step, ...]:
    kinds = ["thinking", "tool_call", "tool_result"]
    while len(kinds) < count - 1:
        pair = len(kinds) <= count - 3 and rng.random() < 0.75
        kinds += ["tool_call", "tool_result"] if pair else ["thinking"]
    weights = [rng.uniform(0.3, 1.7) for _ in range(count + 1)]
    moments = [sum(weights[: place + 1]) / sum(weights) for place in range(count)]
    gaps = [after - before for before, after in itertools.pairwise([0.0, *moments])]
    steps: list[Step] = []
    tool = ""
    given: dict[str, object] = {}
    for kind, moment, gap in zip([*kinds, "output"], moments, gaps, strict=True):
        step_id = vocabulary.identifier(rng, "step_")
        if kind == "tool_call":
            tool, given = _asked(rng, topic, objects)
            steps.append(Step(step_id, kind, moment, None, tool=tool, given=given))
        elif kind == "tool_result":
            found = _found(rng, tool, given)
            steps.append(Step(step_id, kind, moment, gap, tool=tool, given=given, found=found))
        else:
            content = output if kind == "output" else vocabulary.paragraph(rng, 2, 6)
            steps.append(Step(step_id, kind, moment, gap, content=content))
    return tuple(steps)


def _asked(rng: random.Random, topic: str, objects: list[str]) -> tuple[str, dict[str, object]]:
    tool = rng.choice(list(vocabulary.TOOLS))
    if tool in ("read_document", "upload_object"):
        return tool, {"objectId": rng.choice(objects), "title": rng.choice(vocabulary.DOCUMENTS)}
    if tool == "verify_citation":
        return tool, {"citation": vocabulary.case(rng)}
    return tool, {"query": f"{topic} {rng.choice(vocabulary.PARTIES)}", "limit": rng.randint(3, 20)}


def _found(rng: random.Random, tool: str, given: dict[str, object]) -> dict[str, object]:
    if tool == "read_document":
        return {"title": given["title"], "page": rng.randint(1, 90), "text": vocabulary.paragraph(rng, 6, 14)}
    if tool == "upload_object":
        return {"objectId": given["objectId"], "sizeBytes": rng.randint(2_000, 90_000), "status": "stored"}
    if tool == "verify_citation":
        return {"citation": given["citation"], "verified": rng.random() < 0.9, "treatment": "followed"}
    hits = [
        {
            "title": vocabulary.case(rng),
            "score": round(rng.uniform(0.4, 0.99), 3),
            "excerpt": vocabulary.sentence(rng),
        }
        for _ in range(rng.randint(2, 5))
    ]
    return {"total": len(hits), "results": hits}


def _entries(rng: random.Random, steps: Sequence[Step], model: str) -> tuple[Entry, ...]:
    price_in, price_out = next((price for name, price in _PRICES.items() if name in model), _PRICES["sonnet"])
    context = rng.randint(900, 2_400)
    entries = []
    for step in steps:
        entry_id = vocabulary.identifier(rng, "use_")
        if step.type == "tool_result":
            entries.append(Entry(entry_id, step.moment, step.tool, rng.randint(200, 9_000), step_id=step.id))
            context += rng.randint(150, 900)
            continue
        said = rng.randint(40, 700)
        cost = context * price_in + said * price_out
        entries.append(Entry(entry_id, step.moment, None, cost, context, said, step.id))
        context += said
    return tuple(entries)
