"""The parameters of the lists. Values of filters are in the grammar of `storage.filters`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from receiver.shapes.texts import Id, TagKey, TagValue
from storage import causes, filters, following, jobs, ledger, lists, states, stats

#: The greatest integer that every reader of JSON holds exactly.
SAFE = (1 << 53) - 1

_AMOUNT = r"\$?\d{1,8}(\.\d{1,6})?"
_SPAN = r"\d{1,9}(\.\d{1,3})?(ms|s|m|h|d)?"
_NUMBER = r"\d{1,12}(\.\d{1,6})?[kKmM]?"
_DAY = r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])"
_MOMENT = rf"({_DAY}(T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ)?|-\d{{1,3}}(s|m|h|d))"


def _digits(value: Any) -> Any:
    """Digits alone: a lenient reader takes 1_0 and 5.0 for numbers too."""
    if isinstance(value, str) and not (
        value.isascii() and value.removeprefix("-").isdecimal() and len(value) < 20
    ):
        raise ValueError("is no whole number")
    return int(value) if isinstance(value, str) else value


def _alternatives(value: Any) -> Any:
    return tuple(value.split(",")) if isinstance(value, str) else value


def _span(one: str, description: str, *examples: str) -> Any:
    """A text in the filter grammar; the pattern shows a part of what is read, for who generates requests."""
    pattern = rf"^((>|>=|<|<=)?{one}|{one}\.\.|\.\.{one}|{one}\.\.{one})$"
    schema = {"type": "string", "pattern": pattern, "description": description, "examples": list(examples)}
    return WithJsonSchema(schema)


Limit = Annotated[int, Field(ge=1, le=250, description="How many at most."), BeforeValidator(_digits)]
Word = Annotated[str, Field(pattern=r"^[^,\x00]+$", max_length=256)]
Words = Annotated[tuple[Word, ...], Field(min_length=1, max_length=100), BeforeValidator(_alternatives)]
Statuses = Annotated[tuple[states.Status, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Origins = Annotated[tuple[states.Origin, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Roads = Annotated[tuple[states.Road, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Kinds = Annotated[tuple[ledger.Kind, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Cursor = Annotated[str, Field(max_length=1024, description="`nextCursor` of the page before.")]
Accepted = Annotated[str, _span(_MOMENT, "When it was accepted here.", ">-7d", "2026-11-23")]
Created = Annotated[
    str,
    _span(_MOMENT, "When the upstream created it, or it was accepted where it never was.", ">-7d", "2026-11-23"),
]
Settled = Annotated[str, _span(_MOMENT, "When its end became known here.", ">-12h", "2026-11-01..2026-11-30")]
Cost = Annotated[str, _span(_AMOUNT, "In dollars.", ">0.50", "0.10..0.25")]
Duration = Annotated[str, _span(_SPAN, "With a unit; a bare number is seconds.", ">2m", "90s..1.5h")]
Tokens = Annotated[str, _span(_NUMBER, "Input and output together.", ">=10000", "10k..20k")]
Question = Annotated[
    str,
    Field(
        max_length=filters.LENGTH,
        description="The filter language; what stands in it and the other parameters must all hold.",
        examples=['status:failed cost:>0.50 "force majeure"'],
    ),
]
Present = Annotated[
    tuple[str, ...],
    Field(min_length=1, max_length=100, description="What is there at all; several by commas are alternatives."),
    BeforeValidator(_alternatives),
    WithJsonSchema({"type": "array", "items": {"type": "string", "enum": [*filters.PRESENT]}, "minItems": 1}),
]
Sort = Literal[
    "accepted",
    "-accepted",
    "created",
    "-created",
    "settled",
    "-settled",
    "cost",
    "-cost",
    "duration",
    "-duration",
    "tokens",
    "-tokens",
    "-relevance",
]


Grouping = Annotated[
    str,
    Field(max_length=128, description="What they are grouped by; `tag.<key>` by the values of a tag."),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({'|'.join(stats.By)}|tag\\.[A-Za-z0-9_-]{{1,64}})$",
            "examples": ["agent"],
        }
    ),
]


class Query(BaseModel):
    """Parameters of one operation. `PREFIXES` tells which fields collect every parameter that begins so."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    PREFIXES: ClassVar[Mapping[str, str]] = {}


class RunFilter(Query):
    """Which runs. Values in one parameter, separated by commas, are alternatives."""

    PREFIXES: ClassVar[Mapping[str, str]] = {"tag.": "tags"}

    status: Statuses | None = None
    agent: Words | None = None
    model: Words | None = None
    origin: Origins | None = None
    settled_by: Roads | None = None
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=20, description="`tag.<key>=value`")] = {}
    accepted: Accepted | None = None
    created: Created | None = None
    settled: Settled | None = None
    cost: Cost | None = None
    duration: Duration | None = None
    tokens: Tokens | None = None
    tool: Words | None = None
    has: Present | None = None
    q: Question | None = None

    def wanted(self, now: datetime) -> filters.Expression:
        """What is asked for, all of it at once; ages count from `now`. Raises BadFilter, BadQuestion."""
        named = {name: getattr(self, name) for name in _NAMES} | {
            f"tag.{key}": self.tags[key] for key in self.tags
        }
        terms = [_term(name, given, now) for name, given in named.items() if given is not None]
        return filters.every(*terms, None if self.q is None else filters.parse(self.q, now))


_NAMES = [name for name in RunFilter.model_fields if name not in ("tags", "q")]


def _term(name: str, given: str | Sequence[str], now: datetime) -> filters.Expression:
    """What a parameter asks for. In those of words a * at the end stands for whatever follows."""
    if isinstance(given, str):
        return filters.term(name, [filters.Value(given)], now)
    return filters.term(name, [filters.value(str(each)) for each in given], now)


class RunQuery(RunFilter):
    """A page of runs."""

    sort: Annotated[Sort, Field(description="`-` for descending.")] = "-accepted"
    limit: Limit = 50
    cursor: Cursor | None = None
    count: Annotated[bool, Field(description="Whether to count them all, exactly up to a bound.")] = False

    def page(self, now: datetime) -> lists.Query:
        """The page that is asked for. Raises BadFilter, BadQuestion."""
        return lists.Query(self.wanted(now), self.sort, self.limit, self.cursor)


class ExportQuery(RunFilter):
    """Runs as a file, oldest first."""

    format: Annotated[Literal["jsonl", "csv", "parquet"], Field(description="The form of the file.")] = "jsonl"
    documents: Annotated[
        bool, Field(description="Whether the upstream's answers come along, byte for byte; in JSON Lines alone.")
    ] = False
    trailer: Annotated[bool, Field(description="Whether the last line tells count and SHA-256.")] = True
    bom: Annotated[
        bool,
        Field(description="Whether a byte-order mark begins the file, by which Excel knows UTF-8; in CSV alone."),
    ] = False
    after: (
        Annotated[Id, Field(description="`id` of the last whole line of a download that was cut off.")] | None
    ) = None


class StatsQuery(RunFilter):
    """Sums over runs."""

    by: Grouping = stats.By.STATUS.value

    @property
    def grouping(self) -> str:
        """What they are grouped by. Raises BadFilter."""
        return stats.known(self.by)


class StepQuery(Query):
    """A page of steps."""

    limit: Limit = 50
    cursor: Cursor | None = None


class DocumentQuery(Query):
    """A version of the document, the last one where none is named."""

    version: Annotated[int, Field(ge=1, le=SAFE), BeforeValidator(_digits)] | None = None


class EventQuery(Query):
    """Where a stream begins: behind an event, or with the first."""

    lastEventId: (
        Annotated[int, Field(ge=0, lt=10**15, description="The events behind this one."), BeforeValidator(_digits)]
        | None
    ) = None


class DeliveryQuery(Query):
    """A page of deliveries."""

    run: Annotated[Id, Field(description="A run, by our id or the upstream's.")] | None = None
    verdict: states.Verdict | None = None
    road: Literal["watcher", "platform"] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class JobQuery(Query):
    """A page of jobs."""

    kind: states.Kind | None = None
    run: Annotated[Id, Field(description="A run, by our id or the upstream's.")] | None = None
    state: jobs.State | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class CauseQuery(Query):
    """What stands in the way of jobs."""

    kind: states.Kind | None = None
    state: causes.State | None = None
    cause: Annotated[str, Field(min_length=1, max_length=500, description="A part of it.")] | None = None


class ChangeQuery(RunFilter):
    """A page of the feed, or where a stream of it begins; with a filter of what happened to those runs alone."""

    after: Annotated[
        int,
        Field(
            ge=-1,
            le=SAFE,
            description="`nextAfter` of the page before. A stream begins with what is new unless this is given.",
        ),
        BeforeValidator(_digits),
    ] = -1
    limit: Annotated[Limit, Field(description="How many at most; of a page.")] = 50
    kind: Kinds | None = None

    def wish(self, now: datetime) -> following.Wish:
        """Which changes are asked for; ages count from `now`. Raises BadFilter, BadQuestion."""
        return following.Wish(self.wanted(now), frozenset(self.kind or ()))

    @property
    def asked(self) -> str:
        """What is the same for all who ask the same."""
        return self.model_dump_json(exclude={"after", "limit"})
