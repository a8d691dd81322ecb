"""The parameters of the lists. Values of filters follow the grammar of `storage.query.grammar`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, WithJsonSchema

from receiver.schemas.text_types import Id, TagKey, TagValue
from receiver.verifier.evidence import values
from storage import states
from storage.ledger import entries
from storage.query import change_feed, grammar, run_pages
from storage.stats import groups, questions

#: The greatest integer that every JSON parser represents exactly.
MAX_SAFE_INTEGER = (1 << 53) - 1

_AMOUNT = r"\$?\d{1,8}(\.\d{1,6})?"
_DURATION = r"\d{1,9}(\.\d{1,3})?(ms|s|m|h|d)?"
_NUMBER = r"\d{1,12}(\.\d{1,6})?[kKmM]?"
_DAY = r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])"
_MOMENT = rf"({_DAY}(T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ)?|-\d{{1,3}}(s|m|h|d))"


def _digits(value: object) -> object:
    """Return an integer of decimal digits only: pydantic would accept 1_0 and 5.0 as well."""
    if isinstance(value, str) and not (
        value.isascii() and value.removeprefix("-").isdecimal() and len(value) < 20
    ):
        raise ValueError("is not a whole number")
    return int(value) if isinstance(value, str) else value


def _alternatives(value: object) -> object:
    return tuple(value.split(",")) if isinstance(value, str) else value


def _filter_schema(value: str, description: str, *examples: str) -> WithJsonSchema:
    """Return the JSON schema of a text in the filter grammar.

    The pattern covers only a part of what is accepted; it serves programs that generate requests.
    """
    pattern = rf"^((>|>=|<|<=)?{value}|{value}\.\.|\.\.{value}|{value}\.\.{value})$"
    schema = {"type": "string", "pattern": pattern, "description": description, "examples": list(examples)}
    return WithJsonSchema(schema)


Limit = Annotated[int, Field(ge=1, le=250, description="The most rows of a page."), BeforeValidator(_digits)]
Word = Annotated[str, Field(pattern=r"^[^,\x00]+$", max_length=256)]
Words = Annotated[tuple[Word, ...], Field(min_length=1, max_length=100), BeforeValidator(_alternatives)]
Statuses = Annotated[tuple[states.Status, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Origins = Annotated[tuple[states.Origin, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Judgements = Annotated[tuple[states.Reviewed, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Sources = Annotated[tuple[states.Source, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Disclosed = Annotated[
    tuple[Annotated[str, Field(pattern=rf"^({'|'.join(values.NAMES)})$")], ...],
    Field(min_length=1, max_length=len(values.NAMES), description="Disclose these values alone."),
    BeforeValidator(_alternatives),
]
Kinds = Annotated[tuple[entries.Kind, ...], Field(min_length=1), BeforeValidator(_alternatives)]
Cursor = Annotated[str, Field(max_length=1024, description="`nextCursor` of the previous page.")]
Accepted = Annotated[str, _filter_schema(_MOMENT, "When Runledger accepted the run.", ">-7d", "2026-11-23")]
Created = Annotated[
    str,
    _filter_schema(
        _MOMENT,
        "When the upstream created the run; where it never did, when Runledger accepted it.",
        ">-7d",
        "2026-11-23",
    ),
]
Settled = Annotated[
    str, _filter_schema(_MOMENT, "When Runledger stored the end of the run.", ">-12h", "2026-11-01..2026-11-30")
]
Cost = Annotated[str, _filter_schema(_AMOUNT, "In dollars.", ">0.50", "0.10..0.25")]
Duration = Annotated[
    str, _filter_schema(_DURATION, "With a unit; a number without one is in seconds.", ">2m", "90s..1.5h")
]
Tokens = Annotated[str, _filter_schema(_NUMBER, "Input and output tokens together.", ">=10000", "10k..20k")]
Question = Annotated[
    str,
    Field(
        max_length=grammar.MAX_LENGTH,
        description="A filter in the filter language. It must match together with the other parameters.",
        examples=['status:failed cost:>0.50 "force majeure"'],
    ),
]
Present = Annotated[
    tuple[str, ...],
    Field(
        min_length=1,
        max_length=100,
        description="Which values the run has; several, separated by commas, are alternatives.",
    ),
    BeforeValidator(_alternatives),
    WithJsonSchema(
        {"type": "array", "items": {"type": "string", "enum": [*grammar.OPTIONAL_NAMES]}, "minItems": 1}
    ),
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
    Field(max_length=128, description="What the runs are grouped by; `tag.<key>` groups by the values of a tag."),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^({'|'.join(groups.By)}|tag\\.[A-Za-z0-9_-]{{1,64}})$",
            "examples": ["agent"],
        }
    ),
]


class Query(BaseModel):
    """The base of the parameters of one operation.

    `PREFIXES` maps the prefix of parameter names to the field that collects all parameters with this prefix.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, hide_input_in_errors=True)
    PREFIXES: ClassVar[Mapping[str, str]] = {}

    def is_quick(self, _now: datetime) -> bool:
        """Return whether the answer is known to take less than a millisecond."""
        return False


class RunFilter(Query):
    """The filter of runs. Values in one parameter, separated by commas, are alternatives."""

    PREFIXES: ClassVar[Mapping[str, str]] = {"tag.": "tags"}

    status: Statuses | None = None
    agent: Words | None = None
    model: Words | None = None
    origin: Origins | None = None
    settled_by: Sources | None = None
    review: Judgements | None = None
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

    def expression(self, now: datetime) -> grammar.Expression:
        """Return the filter as one expression: all parameters must match.

        Ages count from `now`. Raises BadFilter, BadQuery.
        """
        named = {name: getattr(self, name) for name in _NAMES}
        named |= {f"tag.{key}": value for key, value in self.tags.items()}
        terms = [_term(name, given, now) for name, given in named.items() if given is not None]
        return grammar.all_of(*terms, None if self.q is None else grammar.parse(self.q, now))


_NAMES = [name for name in RunFilter.model_fields if name not in ("tags", "q")]


def _term(name: str, given: str | Sequence[str], now: datetime) -> grammar.Expression:
    """Return the expression of one parameter. A * at the end of a word matches any ending."""
    if isinstance(given, str):
        return grammar.term(name, [grammar.Value(given)], now)
    return grammar.term(name, [grammar.value(str(each)) for each in given], now)


class RunQuery(RunFilter):
    """A page of runs."""

    sort: Annotated[Sort, Field(description="`-` for descending.")] = "-accepted"
    limit: Limit = 50
    cursor: Cursor | None = None
    count: Annotated[bool, Field(description="Whether to count all matching runs, exactly up to a bound.")] = False
    _pages: dict[datetime, run_pages.Query] = PrivateAttr(default_factory=dict)

    def page(self, now: datetime) -> run_pages.Query:
        """Return the query of the page, which is made once for each instant. Raises BadFilter, BadQuery."""
        if now not in self._pages:
            self._pages[now] = run_pages.Query(self.expression(now), self.sort, self.limit, self.cursor)
        return self._pages[now]

    def is_quick(self, now: datetime) -> bool:
        """Return whether the page is read along an index, and nothing is counted."""
        return not self.count and run_pages.is_quick(self.page(now))


class ExportQuery(RunFilter):
    """The export of runs as a file, oldest first."""

    format: Annotated[Literal["jsonl", "csv", "parquet"], Field(description="The format of the file.")] = "jsonl"
    documents: Annotated[
        bool,
        Field(description="Whether the file contains the upstream's answers, byte for byte; JSON Lines only."),
    ] = False
    trailer: Annotated[bool, Field(description="Whether the last line contains the count and the SHA-256.")] = True
    bom: Annotated[
        bool,
        Field(
            description="Whether the file begins with a byte-order mark, which Excel needs for UTF-8; CSV only."
        ),
    ] = False
    after: (
        Annotated[Id, Field(description="The `id` of the last whole line of a truncated download, to resume it.")]
        | None
    ) = None


class StatsQuery(RunFilter):
    """Sums over runs."""

    by: Grouping = groups.By.STATUS.value

    @property
    def grouping(self) -> str:
        """Return what the runs are grouped by. Raises BadFilter."""
        return questions.check_grouping(self.by)


class StepQuery(Query):
    """A page of steps."""

    limit: Limit = 50
    cursor: Cursor | None = None

    def is_quick(self, _now: datetime) -> bool:
        """Return whether there are few of them: each may hold a large text."""
        return self.limit <= 50


class ReceiptQuery(Query):
    """A page of the entries of a run."""

    limit: Limit = 250
    cursor: Cursor | None = None


class EvidenceQuery(Query):
    """The values that are disclosed, by default all."""

    only: Disclosed | None = None


class DocumentQuery(Query):
    """A version of the document, by default the last one."""

    version: Annotated[int, Field(ge=1, le=MAX_SAFE_INTEGER), BeforeValidator(_digits)] | None = None


class EventQuery(Query):
    """The start of a stream: after an event, or with the first one."""

    lastEventId: (
        Annotated[
            int, Field(ge=0, lt=10**15, description="Return the events after this one."), BeforeValidator(_digits)
        ]
        | None
    ) = None


class DeliveryQuery(Query):
    """A page of deliveries."""

    run: Annotated[Id, Field(description="The id of a run: Runledger's or the upstream's.")] | None = None
    verdict: states.Verdict | None = None
    source: Literal["watcher", "platform"] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None

    def is_quick(self, _now: datetime) -> bool:
        """Return whether an index has them in order."""
        return self.verdict is None and self.source is None


class JobQuery(Query):
    """A page of jobs."""

    kind: states.Kind | None = None
    run: Annotated[Id, Field(description="The id of a run: Runledger's or the upstream's.")] | None = None
    state: states.JobState | None = None
    limit: Limit = 50
    cursor: Cursor | None = None

    def is_quick(self, _now: datetime) -> bool:
        """Return whether the newest ones are wanted, whatever they are."""
        return self.kind is None and self.run is None and self.state is None


class BulkQuery(Query):
    """A page of bulk actions."""

    limit: Limit = 50
    cursor: Cursor | None = None


class CauseQuery(Query):
    """The filter of failing and dead jobs."""

    kind: states.Kind | None = None
    state: states.FailedJobState | None = None
    cause: Annotated[str, Field(min_length=1, max_length=500, description="A part of the cause.")] | None = None


class ChangeQuery(RunFilter):
    """A page of the feed, or the start of a stream of it; with a filter of runs, only changes of those runs."""

    after: Annotated[
        int,
        Field(
            ge=-1,
            le=MAX_SAFE_INTEGER,
            description="`nextAfter` of the previous page. Without it a stream starts with new changes.",
        ),
        BeforeValidator(_digits),
    ] = -1
    limit: Annotated[Limit, Field(description="The most changes of a page.")] = 50
    kind: Kinds | None = None

    def selection(self, now: datetime) -> change_feed.ChangeSelection:
        """Return the selection of changes. Ages count from `now`. Raises BadFilter, BadQuery."""
        return change_feed.ChangeSelection(self.expression(now), frozenset(self.kind or ()))

    @property
    def filter_key(self) -> str:
        """Return a key that is equal for equal filters, so that their subscribers share the work."""
        return self.model_dump_json(exclude={"after", "limit"})
