"""Some thousands of runs as plain records, the same every time, and how they are stored past the writer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from storage.search import index
from storage.stats import rollups
from storage.tables.runs import RUN_STEPS, RUN_TAGS, RUN_TOOLS, RUNS
from storage.tables.search import SEARCH_QUEUE

#: When all questions are asked.
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
COUNT = 5200
#: Passages that are indexed at once.
GROUP = 20_000


@dataclass(frozen=True, eq=False)
class Step:
    """A step of a run: what it says, the tool it used with what that was given and gave back."""

    content: str | None
    tool: str | None
    given: Any
    returned: Any


@dataclass(frozen=True, eq=False)
class Record:
    """A run as the corpus has it. Costs in micro-dollars, durations in milliseconds."""

    seq: int
    id: str
    status: str
    origin: str
    settled_by: str | None
    agent: str | None
    model: str | None
    submitted_by: str
    accepted: datetime
    created: datetime | None
    settled: datetime | None
    cost: int | None
    duration: int | None
    tokens_in: int | None
    tokens_out: int | None
    prompt: str | None
    guidance: str | None
    output: str | None
    summary: str | None
    failure_reason: str | None
    tags: dict[str, str] = field(default_factory=dict)
    steps: Sequence[Step] = ()

    @property
    def tokens(self) -> int | None:
        """Input and output together, where both are known."""
        return None if self.tokens_in is None or self.tokens_out is None else self.tokens_in + self.tokens_out

    @property
    def begun(self) -> datetime:
        """When it was created, or accepted where it never was."""
        return self.created or self.accepted

    @property
    def tools(self) -> set[str]:
        """The tools that were used."""
        return {step.tool for step in self.steps if step.tool is not None}


STATUSES = {
    "completed": 62, "failed": 16, "cancelled": 6, "refused": 2, "lost": 1, "running": 6, "queued": 4,
    "accepted": 3,
}  # fmt: skip
ENDED = ("completed", "failed", "cancelled", "refused")
AGENTS = {
    "agent_contracts": 40, "agent_research": 25, "agent_intake": 15, "agent_contracts_eu": 9, "Agent_Contracts": 3,
    "agent_rare": 1, "agent%odd_name": 2, None: 5,
}  # fmt: skip
MODELS = {
    "anthropic/claude-sonnet-4": 35, "anthropic/claude-opus-4": 15, "anthropic/claude-sonnet-4-mini": 6,
    "openai/gpt-5": 20, "openai/gpt-5-mini": 8, "google/gemini_3": 5, "Anthropic/other": 2,
    "mistral,large": 1, None: 8,
}  # fmt: skip
SOURCES = {"watcher": 50, "platform": 30, "sweep": 15, "request": 5}
SUBMITTERS = {"backend": 70, "nightly batch": 20, "sweep": 6, "backfill": 4}
CLIENTS = {
    "acme": 40,
    "Acme": 4,
    "acme-eu": 12,
    "globex": 25,
    "müller & söhne": 5,
    "50%_off": 2,
    "": 1,
    "Ωmega": 3,
}
TOOLS = {"webfetch": 40, "search": 30, "read_file": 15, "WebFetch": 2, "vault.query": 8, "übersetzen": 3}
#: What is said now and then, by how many in a thousand runs say it.
SAID = {
    "force majeure": 60, "FORCE, majeure": 10, "force of a majeure event": 20, "governing law": 120,
    "the governing-law clause": 30, "Müller GmbH": 25, "Mu\u0308ller GmbH": 5, "Résumé of the coöperative": 10,
    "Αθήνα συμφωνία": 8, "договор аренды": 12, "שָׁלוֹם עֲלֵיכֶם": 4, "عَقْد الإيجار": 4,
    "不可抗力 条款": 6, "ＡＢＣ１２３": 3,
    "the ﬁnal oﬀer": 5, "Straße STRASSE": 5, "İstanbul": 3, "$12,500.00 due": 9, "§ 14(2)(b)": 7,
    "<script>alert('x')</script>": 3, "tool_call_id a_b": 6, "x" * 80 + "tail": 2, "don't": 15, "naïve": 6,
    "हिन्दी अनुबंध": 3, "हिन्दू": 3, "Gesamt\u00adkonzept": 6, "Gesamtkonzept": 2,
    "ge\u200bsamt\u2060kon\ufeffzept": 2, "重跑gen-itgc后": 5, "租賃契約書を確認する": 4, "賃貸 契約": 3, "税": 3,
    "所得税の計算。": 3, "ｶﾞｲﾄﾞﾗｲﾝ": 3, "かく書く": 3, "がく": 2, "임대차 계약서를 검토": 4, "계약서": 2,
    "สัญญาเช่าบ้าน": 3, "Łódź": 3, "٣٤٥ ๑๒": 3, "ırmak": 2, "rock’n’roll": 3, "e\u0301\u0323\u0302tat": 3,
    "👩\u200d👩\u200d👧 1\ufe0f\u20e3 🇩🇪": 2, "这是一份关于终止条款和续约条款的租赁协议": 3,
    "e-mail jane.doe@acme.example": 8, "zyzzyva": 1, "½ share": 2, "H₂O x²": 2, "ſenate": 1,
}  # fmt: skip
_WORDS = """
    the of and to in a that is shall be by for party agreement contract lease tenant landlord clause notice
    payment liability damages breach court claim plaintiff defendant motion filed review summary document
    evidence witness deposition counsel attorney settlement appeal statute section rule term termination
    renewal indemnity warranty insurance policy premium coverage employer employee wage hour union grievance
    patent trademark licence royalty merger acquisition share stock board director officer fiduciary duty
    loyalty care trust estate will heir beneficiary probate zoning permit easement deed mortgage lien
    foreclosure bankruptcy creditor debtor discharge
"""
VOCABULARY = _WORDS.split()
CLOSING = "we hereby stand still at the very end of all that was ever said here"
_FREQUENCIES = [1 / (rank + 2) for rank in range(len(VOCABULARY))]


def records(count: int = COUNT, seed: int = 20261125) -> list[Record]:
    """The corpus, oldest first; keys have gaps as those of a real store, and reach over several windows."""
    dice, seq, made = random.Random(seed), 0, []
    for number in range(count):
        seq += dice.choice((1, 1, 1, 2, 3, 60))
        made.append(_record(dice, seq, number, count))
    return made


def _chosen(dice: random.Random, weights: dict[Any, int]) -> Any:
    return dice.choices(list(weights), list(weights.values()))[0]


def _record(dice: random.Random, seq: int, number: int, count: int) -> Record:
    status = _chosen(dice, STATUSES)
    has_ended, adopted = status in ENDED, dice.random() < 0.1
    accepted = NOW - timedelta(minutes=(count - number) * 17 + dice.randrange(15))
    created = accepted + timedelta(seconds=dice.choice((0, 1, 60, -86_400 * 30 if adopted else 2)))
    is_known = status not in ("accepted", "refused") and dice.random() < 0.98
    settled = accepted + timedelta(seconds=dice.randrange(10, 1800)) if has_ended else None
    was_measured = has_ended and status != "refused" and dice.random() < 0.93
    long = number % 450 == 7
    return Record(
        seq=seq,
        id=f"00000000-0000-7000-8000-{seq:012d}",
        status=status,
        origin="adopted" if adopted else "submitted",
        settled_by=_chosen(dice, SOURCES) if has_ended else None,
        agent=_chosen(dice, AGENTS),
        model=_chosen(dice, MODELS),
        submitted_by=_chosen(dice, SUBMITTERS),
        accepted=accepted,
        created=created if is_known else None,
        settled=settled,
        cost=dice.choice((0, 500_000, 1_230_000, dice.randrange(3_000_000))) if was_measured else None,
        duration=dice.choice((120_000, 250, dice.randrange(1_800_000))) if was_measured else None,
        tokens_in=dice.choice((9000, dice.randrange(40_000))) if was_measured else None,
        tokens_out=dice.choice((1000, dice.randrange(9000))) if was_measured and dice.random() < 0.95 else None,
        prompt=_text(dice, 18),
        guidance=_text(dice, 8) if dice.random() < 0.3 else dice.choice((None, None, "")),
        output=(_long(dice) if long else _text(dice, 25)) if status == "completed" else None,
        summary=_text(dice, 6) if status == "completed" and dice.random() < 0.6 else None,
        failure_reason=_text(dice, 6) if status in ("failed", "refused") and dice.random() < 0.8 else None,
        tags=dict(_tags(dice)),
        steps=[_step(dice) for _ in range(dice.randrange(4))] if was_measured else (),
    )


def _tags(dice: random.Random) -> Iterator[tuple[str, str]]:
    if dice.random() < 0.7:
        yield "client", _chosen(dice, CLIENTS)
    if dice.random() < 0.3:
        yield "matter.no", str(dice.randrange(40))
    if dice.random() < 0.02:
        yield "rare", "yes"


def _text(dice: random.Random, length: int) -> str:
    words = dice.choices(VOCABULARY, _FREQUENCIES, k=dice.randrange(1, 2 * length))
    for said, often in SAID.items():
        if dice.random() * 4000 < often:
            words.insert(dice.randrange(len(words) + 1), said)
    return dice.choice((" ", " ", "\n", ", ")).join(words)


def _long(dice: random.Random) -> str:
    """A text of many passages, with one word again and again and phrases where passages end."""
    words = dice.choices(VOCABULARY, _FREQUENCIES, k=2500)
    words[600:1000] = ["void"] * 400
    for at in range(230, 2300, 239):
        words[at : at + 3] = ["crossing", "the", "passages"]
    words += [
        "we",
        "hereby",
        "stand",
        "still",
        "at",
        "the",
        "very",
        "end",
        "of",
        "all",
        "that",
        "was",
        "ever",
        "said",
        "here",
    ]
    return " ".join(words)


def _step(dice: random.Random) -> Step:
    tool = _chosen(dice, TOOLS) if dice.random() < 0.7 else None
    given = {"query": _text(dice, 3), "max": dice.randrange(50), "deep": {"b": [_text(dice, 2), None], "a": True}}
    returned = dice.choice((
        {"results": [{"title": _text(dice, 3), "url": "https://law.example/a?b=1"}, {"title": _text(dice, 2)}]},
        [_text(dice, 4), 7, False], _text(dice, 6), {"ok": True, "Zeta": "last", "alpha": "first"}, {}, [], 0,
    ))  # fmt: skip
    return Step(
        _text(dice, 8) if dice.random() < 0.8 else None,
        tool,
        given if tool else None,
        returned if tool and dice.random() < 0.9 else None,
    )


def load(connection: Connection, corpus: Sequence[Record]) -> None:
    """Writes the rows as they are, has their words indexed as the indexer does, and the ended ones summed up."""
    connection.execute(RUNS.insert(), [_row(each) for each in corpus])
    tags = [
        {"run_seq": each.seq, "run_id": each.id, "key": key, "value": value}
        for each in corpus
        for key, value in each.tags.items()
    ]
    connection.execute(RUN_TAGS.insert(), tags)
    steps = [_step_row(each, at, step) for each in corpus for at, step in enumerate(each.steps)]
    connection.execute(RUN_STEPS.insert(), steps)
    tools = [
        {"run_seq": each.seq, "run_id": each.id, "name": name} for each in corpus for name in sorted(each.tools)
    ]
    connection.execute(RUN_TOOLS.insert(), tools)
    queued = [{"run_seq": each.seq, "version": 1, "enqueued_at": NOW} for each in corpus]
    connection.execute(SEARCH_QUEUE.insert(), queued)
    while batch := index.queued(connection, GROUP):
        index.add(connection, batch)
    rollups.rebuild(connection)


def _row(each: Record) -> dict[str, Any]:
    return {
        "seq": each.seq,
        "id": each.id,
        "status": each.status,
        "origin": each.origin,
        "settled_by": each.settled_by,
        "agent_id": each.agent,
        "model": each.model,
        "submitted_by": each.submitted_by,
        "accepted_at": each.accepted,
        "created_at": each.created,
        "settled_at": each.settled,
        "completed_at": each.settled,
        "cost_micros": each.cost,
        "duration_ms": each.duration,
        "input_tokens": each.tokens_in,
        "output_tokens": each.tokens_out,
        "prompt": each.prompt,
        "guidance": each.guidance,
        "output": each.output,
        "summary": each.summary,
        "failure_reason": each.failure_reason,
        "step_count": len(each.steps),
        "watched": False,
    }


def _step_row(each: Record, position: int, step: Step) -> dict[str, Any]:
    return {
        "id": each.seq * 65536 + position,
        "run_id": each.id,
        "position": position,
        "type": "tool_call" if step.tool else "message",
        "content": step.content,
        "tool_name": step.tool,
        "tool_input": step.given,
        "tool_output": step.returned,
        "salt": b"salt",
    }
