"""The invented content of a run: steps, priced usage and a result of legal research, all decided by a seed.

Moments are shares of the run's duration (0 its start, 1 its end), so that the same transcript serves a run of
two seconds and one of ten minutes, and shows as much of itself as has happened. All parties, citations and
documents are made up.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Sequence
from typing import Any

_PRICES = {"haiku": (1, 5), "sonnet": (3, 15), "opus": (15, 75)}  # micro-dollars per token, in and out
_TOPICS = (
    "force majeure", "indemnification", "limitation of liability", "employment discrimination",
    "breach of fiduciary duty", "spoliation of evidence", "implied warranty of merchantability",
    "tortious interference", "privilege log adequacy", "HIPAA business associate duties",
    "anticipatory repudiation", "non-compete enforceability", "data breach notification",
)  # fmt: skip
_COURTS = ("9th Cir.", "2d Cir.", "5th Cir.", "Del. Ch.", "S.D.N.Y.", "N.D. Cal.", "Tex. App.", "Ill. App. Ct.")
_REPORTERS = ("F.3d", "F. Supp. 3d", "A.3d", "N.E.3d", "S.W.3d", "Cal. App. 5th")
_PARTIES = (
    "Marlowe", "Tidewater Freight Co.", "Hartwell Biologics", "Okonkwo", "Castellan Insurance Group",
    "Brightwater Hospital District", "Lindqvist", "Peregrine Logistics LLC", "Delacroix", "Summit Ridge Holdings",
    "Ferreira", "Northgate Energy Partners", "Abernathy", "Coastal Title & Trust", "Varga Systems, Inc.",
)  # fmt: skip
_DOCUMENTS = (
    "Master Services Agreement", "Deposition of D. Lindqvist, vol. 2", "Lease, Suite 410", "Amended Complaint",
    "Expert report of Dr. A. Okonkwo", "Email thread re: shipment delay", "Board minutes, March", "Answer",
    "Employee handbook, 2024 edition", "Notice of default", "Insurance policy CX-2281", "Privilege log",
)  # fmt: skip
_OPENERS = (
    "The controlling question is whether", "The record supports the view that", "Counsel may well argue that",
    "On these facts it is doubtful that", "The better reading is that", "Two of the documents suggest that",
)  # fmt: skip
_CLAIMS = (
    "the notice was given within the contractual period", "the clause reaches third-party claims",
    "the carve-out for gross negligence applies", "performance was impracticable and not merely more costly",
    "the stated reason for the termination was a pretext", "the duty to preserve had already arisen",
    "the cap survives termination of the agreement", "the covenant is broader than the interest it protects",
    "the waiver was knowing and voluntary", "the parties meant the schedule to prevail over the body",
)  # fmt: skip
_REASONS = (
    "because the definition of covered events is closed", "since the amendment post-dates the correspondence",
    "as the witness conceded on cross-examination", "given the integration clause in section 14.2",
    "although the exhibit is unsigned", "because the burden lies with the party that invokes the exception",
    "since no contemporaneous document says otherwise", "even where the delay is attributable to a supplier",
)  # fmt: skip
_FAILURES = (
    "The runtime ran out of memory while reading a scanned exhibit; no report was written.",
    "The vault search returned no documents for this scope, so the task could not be carried out.",
    "The case-law service did not answer after five attempts; the research is incomplete.",
    "The run exceeded the permitted number of model calls before a conclusion was reached.",
)
TOOLS = {
    "search_vault": ("vault", "/vault/v1/search"),
    "read_document": ("vault", "/vault/v1/objects/text"),
    "case_law_search": ("legal", "/legal/v1/find"),
    "verify_citation": ("legal", "/legal/v1/verify"),
    "web_search": ("search", "/search/v1/search"),
    "upload_object": ("vault", "/vault/v1/upload"),
}


@dataclasses.dataclass(frozen=True)
class Step:
    """One step; `lasts` is its share of the run's duration, None where the service gives no duration.

    `fields` are those of its JSON that do not depend on the time.
    """

    moment: float
    lasts: float | None
    fields: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One priced call to a model or a service; `fields` are those of its JSON without the time."""

    moment: float
    fields: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Transcript:
    """A whole run, written before it starts: `pace` stretches its duration; `chance` decides whether it fails."""

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
    """Return the transcript of a seed: 11 to 40 steps, the last of them the output."""
    rng = random.Random(seed)
    chosen = rng.choice(_TOPICS)
    topic = next((topic for topic in _TOPICS if topic in prompt.lower()), chosen)
    summary = f"Reviewed the record on {topic}. {_sentence(rng)}"
    created = tuple(_id(rng, "obj_") for _ in range(rng.randint(1, 2)))
    *steps, last = _steps(rng, rng.randint(11, 40), topic, list(object_ids) or [_id(rng, "obj_")])
    output = _memo(rng, topic, summary, _cases_of(steps))
    steps.append(dataclasses.replace(last, fields=last.fields | {"content": output}))
    return Transcript(
        pace=rng.uniform(0.8, 1.2),
        chance=rng.random(),
        steps=tuple(steps),
        entries=_entries(rng, steps, model),
        output=output,
        summary=summary,
        created=created,
        failure=rng.choice(_FAILURES),
        failure_place=rng.choice(("issues", "logs", "steps", "state")),
        runtime_id=_id(rng, "rt_"),
    )


def _cases_of(steps: Sequence[Step]) -> list[str]:
    """Return the cases that the tools found and verified."""
    found = [step.fields["toolOutput"] or {} for step in steps]
    verified = [each["citation"] for each in found if each.get("verified")]
    return verified + [hit["title"] for each in found for hit in each.get("results", ())]


def _steps(rng: random.Random, count: int, topic: str, objects: list[str]) -> list[Step]:
    kinds = ["thinking", "tool_call", "tool_result"]
    while len(kinds) < count - 1:
        pair = len(kinds) <= count - 3 and rng.random() < 0.75
        kinds += ["tool_call", "tool_result"] if pair else ["thinking"]
    weights = [rng.uniform(0.3, 1.7) for _ in range(count + 1)]
    moments = [sum(weights[: place + 1]) / sum(weights) for place in range(count)]
    gaps = [after - before for before, after in itertools.pairwise([0.0, *moments])]
    steps: list[Step] = []
    for kind, moment, gap in zip([*kinds, "output"], moments, gaps, strict=True):
        fields: dict[str, Any] = {"id": _id(rng, "step_"), "type": kind}
        fields |= {"content": None, "toolName": None, "toolInput": None, "toolOutput": None}
        if kind == "tool_call":
            tool, given = _call(rng, topic, objects)
            fields |= {"toolName": tool, "toolInput": given}
        elif kind == "tool_result":
            fields |= {"toolName": tool, "toolInput": given, "toolOutput": _result(rng, tool, given)}
        elif kind == "thinking":
            fields["content"] = _paragraph(rng, 2, 6)
        steps.append(Step(moment, None if kind == "tool_call" else gap, fields))
    return steps


def _call(rng: random.Random, topic: str, objects: list[str]) -> tuple[str, dict[str, Any]]:
    tool = rng.choice(list(TOOLS))
    if tool in ("read_document", "upload_object"):
        return tool, {"objectId": rng.choice(objects), "title": rng.choice(_DOCUMENTS)}
    if tool == "verify_citation":
        return tool, {"citation": _case(rng)}
    return tool, {"query": f"{topic} {rng.choice(_PARTIES)}", "limit": rng.randint(3, 20)}


def _result(rng: random.Random, tool: str, given: dict[str, Any]) -> dict[str, Any]:
    if tool == "read_document":
        return {"title": given["title"], "page": rng.randint(1, 90), "text": _paragraph(rng, 6, 14)}
    if tool == "upload_object":
        return {"objectId": given["objectId"], "sizeBytes": rng.randint(2_000, 90_000), "status": "stored"}
    if tool == "verify_citation":
        return {"citation": given["citation"], "verified": rng.random() < 0.9, "treatment": "followed"}
    hits = [
        {"title": _case(rng), "score": round(rng.uniform(0.4, 0.99), 3), "excerpt": _sentence(rng)}
        for _ in range(rng.randint(2, 5))
    ]
    return {"total": len(hits), "results": hits}


def _entries(rng: random.Random, steps: Sequence[Step], model: str) -> tuple[Entry, ...]:
    price_in, price_out = next((price for name, price in _PRICES.items() if name in model), _PRICES["sonnet"])
    context = rng.randint(900, 2_400)
    entries = []
    for step in steps:
        fields: dict[str, Any] = {"id": _id(rng, "use_"), "method": "POST", "statusCode": 200}
        if step.fields["type"] == "tool_result":
            service, path = TOOLS[step.fields["toolName"]]
            fields |= {"kind": "api", "service": service, "endpoint": path, "costMicros": rng.randint(200, 9_000)}
            fields |= dict.fromkeys(("promptTokens", "completionTokens", "totalTokens", "model", "metadata"))
            context += rng.randint(150, 900)
        else:
            written = rng.randint(40, 700)
            cost = context * price_in + written * price_out
            fields |= {"kind": "llm", "service": "llm", "endpoint": "/llm/v1/chat/completions", "costMicros": cost}
            fields |= {"promptTokens": context, "completionTokens": written, "totalTokens": context + written}
            fields |= {"model": model, "metadata": {"stepId": step.fields["id"]}}
            context += written
        entries.append(Entry(step.moment, fields))
    return tuple(entries)


def _memo(rng: random.Random, topic: str, summary: str, known: Sequence[str]) -> str:
    """Return the memorandum; most of its authorities are the `known` ones."""
    parts = [f"# Research memorandum: {topic}", summary]
    for title in ("Question presented", "Brief answer", "Facts from the record", "Analysis", "Recommendation"):
        parts += [f"## {title}", _paragraph(rng, 2, 5, known)]
    authorities = "\n".join(f"- {_cited(rng, known)}" for _ in range(rng.randint(3, 6)))
    return "\n\n".join([*parts, "## Authorities", authorities])


def _cited(rng: random.Random, known: Sequence[str]) -> str:
    return rng.choice(known) if known and rng.random() < 0.85 else _case(rng)


def _case(rng: random.Random) -> str:
    one, other = rng.sample(_PARTIES, 2)
    volume, page, year = rng.randint(12, 990), rng.randint(1, 1400), rng.randint(1994, 2024)
    return f"{one} v. {other}, {volume} {rng.choice(_REPORTERS)} {page} ({rng.choice(_COURTS)} {year})"


def _sentence(rng: random.Random, known: Sequence[str] = ()) -> str:
    text = f"{rng.choice(_OPENERS)} {rng.choice(_CLAIMS)}, {rng.choice(_REASONS)}"
    return f"{text}; see {_cited(rng, known)}." if rng.random() < 0.35 else f"{text}."


def _paragraph(rng: random.Random, low: int, high: int, known: Sequence[str] = ()) -> str:
    return " ".join(_sentence(rng, known) for _ in range(rng.randint(low, high)))


def _id(rng: random.Random, prefix: str) -> str:
    return prefix + rng.randbytes(9).hex()
