"""The questions, each with what it means for one record, and the phrases of its relevance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.storage.questions.corpus import ENDED, NOW, Record
from tests.storage.questions.naive import Predicate, begins, over, says, under, within


@dataclass(frozen=True)
class Question:
    """A text of the filter language and its meaning."""

    text: str
    holds: Predicate
    phrases: tuple[str, ...] = ()


ASKED: list[Question] = []


def ask(text: str, holds: Predicate, *phrases: str) -> None:
    """Adds a question."""
    ASKED.append(Question(text, holds, phrases))


def saying(phrase: str) -> Predicate:
    """What says so."""
    return lambda record: says(record, phrase)


def said(*phrases: str) -> None:
    """Adds questions for words alone, quoted."""
    for phrase in phrases:
        begun = phrase.removesuffix("*")
        ask(f'"{begun}"' + "*" * (begun != phrase), saying(phrase), phrase)


def any_says(record: Record, *phrases: str) -> bool:
    """Whether it says one of them."""
    return any(says(record, phrase) for phrase in phrases)


def day(number: int) -> datetime:
    """The beginning of a day of November."""
    return NOW.replace(day=number, hour=0)


DAY = timedelta(days=1)

# States, origins, sources.
ask("", lambda r: True)
ask("status:completed", lambda r: r.status == "completed")
ask("status:failed", lambda r: r.status == "failed")
ask("status:lost", lambda r: r.status == "lost")
ask("status:failed,cancelled", lambda r: r.status in ("failed", "cancelled"))
ask("status:accepted,queued,running,lost", lambda r: r.status not in ENDED)
ask("-status:completed", lambda r: r.status != "completed")
ask("-status:completed,failed", lambda r: r.status not in ("completed", "failed"))
ask("--status:failed", lambda r: r.status == "failed")
ask("origin:adopted", lambda r: r.origin == "adopted")
ask("-origin:adopted", lambda r: r.origin == "submitted")
ask("origin:adopted status:failed", lambda r: r.origin == "adopted" and r.status == "failed")
ask("settled_by:sweep", lambda r: r.settled_by == "sweep")
ask("settled_by:sweep,request", lambda r: r.settled_by in ("sweep", "request"))
ask("-settled_by:watcher", lambda r: r.settled_by != "watcher")
ask("status:completed status:failed", lambda r: False)
ask("status:completed OR status:failed", lambda r: r.status in ("completed", "failed"))
# Agents, models, submitters.
ask("agent:agent_contracts", lambda r: r.agent == "agent_contracts")
ask("agent:Agent_Contracts", lambda r: r.agent == "Agent_Contracts")
ask("agent:agent_rare", lambda r: r.agent == "agent_rare")
ask("agent:agent_none", lambda r: False)
ask("agent:agent_contracts*", lambda r: begins(r.agent, "agent_contracts"))
ask("agent:agent*", lambda r: begins(r.agent, "agent"))
ask("agent:agent%*", lambda r: begins(r.agent, "agent%"))
ask("agent:agent%odd_name", lambda r: r.agent == "agent%odd_name")
ask("agent:agent_*,Agent_*", lambda r: begins(r.agent, "agent_") or begins(r.agent, "Agent_"))
ask("agent:agent_intake,agent_rare", lambda r: r.agent in ("agent_intake", "agent_rare"))
ask("-agent:agent_contracts", lambda r: r.agent != "agent_contracts")
ask("-agent:agent_*", lambda r: not begins(r.agent, "agent_"))
ask("has:agent", lambda r: r.agent is not None)
ask("-has:agent", lambda r: r.agent is None)
ask("agent:agent_contracts status:failed", lambda r: r.agent == "agent_contracts" and r.status == "failed")
ask(
    "agent:agent_contracts,agent_research status:failed,lost",
    lambda r: r.agent in ("agent_contracts", "agent_research") and r.status in ("failed", "lost"),
)
ask("agent:agent_rare status:completed", lambda r: r.agent == "agent_rare" and r.status == "completed")
ask("model:openai/gpt-5", lambda r: r.model == "openai/gpt-5")
ask("model:openai/gpt-5*", lambda r: begins(r.model, "openai/gpt-5"))
ask("model:anthropic/*", lambda r: begins(r.model, "anthropic/"))
ask("-model:anthropic/*", lambda r: not begins(r.model, "anthropic/"))
ask("model:Anthropic/*", lambda r: begins(r.model, "Anthropic/"))
ask("model:google/gemini_*", lambda r: begins(r.model, "google/gemini_"))
ask('model:"mistral,large"', lambda r: r.model == "mistral,large")
ask('model:"mistral,large",openai/gpt-5', lambda r: r.model in ("mistral,large", "openai/gpt-5"))
ask('model:"openai/gpt-5*"', lambda r: False)
ask("model:*", lambda r: r.model is not None)
ask("-model:*", lambda r: r.model is None)
ask("-has:model", lambda r: r.model is None)
ask("model:anthropic/* agent:agent_intake", lambda r: begins(r.model, "anthropic/") and r.agent == "agent_intake")
ask("submitted_by:sweep", lambda r: r.submitted_by == "sweep")
ask('submitted_by:"nightly batch"', lambda r: r.submitted_by == "nightly batch")
ask("submitted_by:back*", lambda r: begins(r.submitted_by, "back"))
# Measures.
ask("cost:>0.50", lambda r: over(r.cost, 500_000))
ask("cost:>=0.50", lambda r: r.cost is not None and r.cost >= 500_000)
ask("cost:0.50", lambda r: r.cost == 500_000)
ask("cost:0", lambda r: r.cost == 0)
ask("cost:<0.01", lambda r: under(r.cost, 10_000))
ask("cost:<=1.23", lambda r: r.cost is not None and r.cost <= 1_230_000)
ask("cost:$1..$2", lambda r: within(r.cost, 1_000_000, 2_000_000))
ask("cost:2.9..", lambda r: r.cost is not None and r.cost >= 2_900_000)
ask("cost:..0.001", lambda r: r.cost is not None and r.cost <= 1000)
ask("cost:0,>2.95", lambda r: r.cost == 0 or over(r.cost, 2_950_000))
ask("-cost:>0.50", lambda r: not over(r.cost, 500_000))
ask("cost:>100", lambda r: False)
ask("has:cost", lambda r: r.cost is not None)
ask("-has:cost status:completed", lambda r: r.cost is None and r.status == "completed")
ask("duration:>2m", lambda r: over(r.duration, 120_000))
ask("duration:>=120", lambda r: r.duration is not None and r.duration >= 120_000)
ask("duration:2m", lambda r: r.duration == 120_000)
ask("duration:250ms", lambda r: r.duration == 250)
ask("duration:<1s", lambda r: under(r.duration, 1000))
ask("duration:90s..0.05h", lambda r: within(r.duration, 90_000, 180_000))
ask("duration:>29.5m", lambda r: over(r.duration, 1_770_000))
ask("-duration:<1h", lambda r: not under(r.duration, 3_600_000))
ask("tokens:>=10000", lambda r: r.tokens is not None and r.tokens >= 10_000)
ask("tokens:10k", lambda r: r.tokens == 10_000)
ask("tokens:10k..12.5k", lambda r: within(r.tokens, 10_000, 12_500))
ask("tokens:<500", lambda r: under(r.tokens, 500))
ask("tokens:>1M", lambda r: False)
ask("-has:tokens has:cost", lambda r: r.tokens is None and r.cost is not None)
ask(
    "cost:>2 duration:>20m tokens:>20k",
    lambda r: over(r.cost, 2e6) and over(r.duration, 1.2e6) and over(r.tokens, 2e4),
)
ask("agent:agent_research cost:>2.5", lambda r: r.agent == "agent_research" and over(r.cost, 2_500_000))
ask(
    "status:failed cost:>1 duration:<5m",
    lambda r: r.status == "failed" and over(r.cost, 1e6) and under(r.duration, 3e5),
)
# Times.
ask("created:2026-11-20", lambda r: day(20) <= r.begun < day(21))
ask("created:2026-11-01..2026-11-20", lambda r: day(1) <= r.begun < day(21))
ask("created:>2026-11-20", lambda r: r.begun >= day(21))
ask("created:>=2026-11-20", lambda r: r.begun >= day(20))
ask("created:<2026-11-01", lambda r: under(r.begun, day(1)))
ask("created:<=2026-11-01", lambda r: under(r.begun, day(2)))
ask("created:-7d", lambda r: r.begun >= NOW - 7 * DAY)
ask("created:>-7d", lambda r: over(r.begun, NOW - 7 * DAY))
ask("created:<-30d", lambda r: under(r.begun, NOW - 30 * DAY))
ask("created:-14d..-7d", lambda r: within(r.begun, NOW - 14 * DAY, NOW - 7 * DAY))
ask("created:>2026-11-22T12:00:00Z", lambda r: over(r.begun, NOW - DAY))
ask("created:>2026-11-22T14:00:00+02:00", lambda r: over(r.begun, NOW - DAY))
ask("created:>-90m", lambda r: over(r.begun, NOW - DAY / 16))
ask("-has:created", lambda r: r.created is None)
ask("accepted:2026-11-20", lambda r: day(20) <= r.accepted < day(21))
ask("accepted:>-7d", lambda r: r.accepted > NOW - 7 * DAY)
ask("accepted:<-30d", lambda r: r.accepted < NOW - 30 * DAY)
ask("accepted:<2020-01-01", lambda r: False)
ask("-accepted:>-7d", lambda r: r.accepted <= NOW - 7 * DAY)
ask(
    "accepted:-14d..-7d,>-1d",
    lambda r: not NOW - 7 * DAY < r.accepted <= NOW - DAY and r.accepted >= NOW - 14 * DAY,
)
ask("accepted:>-14d status:refused", lambda r: r.status == "refused" and r.accepted > NOW - 14 * DAY)
ask("accepted:>-14d -has:created", lambda r: r.created is None and r.accepted > NOW - 14 * DAY)
ask("created:>-14d status:refused", lambda r: r.status == "refused" and r.begun > NOW - 14 * DAY)
ask("-created:>-7d", lambda r: not over(r.begun, NOW - 7 * DAY))
ask(
    "created:2026-11-20,2026-11-10",
    lambda r: r.begun.date().day in (10, 20) and r.begun >= day(1),
)
ask("settled:>-12h", lambda r: over(r.settled, NOW - DAY / 2))
ask("settled:2026-11-01", lambda r: r.settled is not None and day(1) <= r.settled < day(2))
ask("has:settled", lambda r: r.settled is not None)
ask("-has:settled", lambda r: r.settled is None)
ask("agent:agent_contracts created:>-7d", lambda r: r.agent == "agent_contracts" and over(r.begun, NOW - 7 * DAY))
ask(
    "agent:agent_contracts status:failed created:-30d..-7d",
    lambda r: (
        r.agent == "agent_contracts" and r.status == "failed" and within(r.begun, NOW - 30 * DAY, NOW - 7 * DAY)
    ),
)
ask("status:failed created:>-7d", lambda r: r.status == "failed" and over(r.begun, NOW - 7 * DAY))
# Tags and tools.
ask("tag.client:acme", lambda r: r.tags.get("client") == "acme")
ask("tag.client:Acme", lambda r: r.tags.get("client") == "Acme")
ask("tag.client:acme*", lambda r: begins(r.tags.get("client"), "acme"))
ask("tag.client:acme,globex", lambda r: r.tags.get("client") in ("acme", "globex"))
ask('tag.client:"müller & söhne"', lambda r: r.tags.get("client") == "müller & söhne")
ask("tag.client:50%*", lambda r: begins(r.tags.get("client"), "50%"))
ask("tag.client:Ω*", lambda r: begins(r.tags.get("client"), "Ω"))
ask('tag.client:""', lambda r: r.tags.get("client") == "")
ask("tag.matter.no:7", lambda r: r.tags.get("matter.no") == "7")
ask("tag.matter.no:1*", lambda r: begins(r.tags.get("matter.no"), "1"))
ask("tag.rare:yes", lambda r: r.tags.get("rare") == "yes")
ask("tag.nobody:has", lambda r: False)
ask("-tag.client:acme", lambda r: r.tags.get("client") != "acme")
ask("has:tag.rare", lambda r: "rare" in r.tags)
ask("-has:tag.client", lambda r: "client" not in r.tags)
ask("tag.client:acme tag.rare:yes", lambda r: r.tags.get("client") == "acme" and r.tags.get("rare") == "yes")
ask(
    "tag.client:acme status:failed cost:>1",
    lambda r: r.tags.get("client") == "acme" and r.status == "failed" and over(r.cost, 1e6),
)
ask("tag.client:acme OR tag.rare:yes", lambda r: r.tags.get("client") == "acme" or r.tags.get("rare") == "yes")
ask("tool:webfetch", lambda r: "webfetch" in r.tools)
ask("tool:WebFetch", lambda r: "WebFetch" in r.tools)
ask("tool:webfetch,search", lambda r: bool({"webfetch", "search"} & r.tools))
ask("tool:webfetch tool:search", lambda r: {"webfetch", "search"} <= r.tools)
ask("-tool:webfetch", lambda r: "webfetch" not in r.tools)
ask("tool:vault.*", lambda r: any(begins(each, "vault.") for each in r.tools))
ask("tool:über*", lambda r: "übersetzen" in r.tools)
ask("tool:nothing", lambda r: False)
ask("has:steps", lambda r: len(r.steps) > 0)
ask("-has:steps status:completed", lambda r: not r.steps and r.status == "completed")
ask(
    "tool:search agent:agent_intake status:failed",
    lambda r: "search" in r.tools and r.agent == "agent_intake" and r.status == "failed",
)
# What is there. A text that is empty is there.
ask("has:guidance", lambda r: r.guidance is not None)
ask("has:output", lambda r: r.output is not None)
ask("has:summary", lambda r: r.summary is not None)
ask("has:failure_reason", lambda r: r.failure_reason is not None)
ask("status:failed -has:failure_reason", lambda r: r.status == "failed" and r.failure_reason is None)
ask("has:output,failure_reason", lambda r: r.output is not None or r.failure_reason is not None)
ask("has:duration", lambda r: r.duration is not None)
# Words.
said(
    "force majeure", "force", "FORCE MAJEURE", "majeure force", "force maj*", "governing law",
    "governing-law clause", "müller gmbh", "Muller GmbH", "MU\u0308LLER",
    "resume of the cooperative", "αθηνα", "ΑΘΉΝΑ συμφωνία", "договор", "Договор Аренды", "שלום",
    "شلوم", "عقد الإيجار", "不可抗力", "不可抗力 条款", "abc123", "abc*", "final offer", "strasse", "straße",
    "istanbul", "12 500 00", "12,500.00", "12,500", "14(2)(b)", "<script>", "alert x",
    "tool_call_id", "tool call id", "call", "a_b", "don't", "don t", "naive", "हिन्दी",
    "jane.doe@acme.example", "zyzzyva", "1 2 share", "h2o x2", "senate", "x" * 80, "x" * 64,
    "x" * 63 + "*", "void " * 16, "void", "crossing the passages",
    "hereby stand still at the very end of all that was ever said", "the", "the of and",
    "unheardof", "unh*", "t*", "true", "false", "zeta last", "alpha first", "law example",
    "deep a true", "none", "7",
    "gesamtkonzept", "Ge\u00adsamtkonzept", "gesamt*", "itgc", "gen itgc", "跑gen", "itgc后", "重跑", "后", "跑",
    "契約", "契約書", "約書", "賃契", "書", "書を", "契約 書", "契約*", "賃貸 契約", "税", "税の", "税 ", "所得税",
    "ガイド", "イドライン", "かく", "がく", "가", "계약", "계약서를", "임대차 계약", "차 계약", "สัญญา", "เช่า",
    "บ้าน", "lodz", "LODZ", "345", "12", "IRMAK", "rock'n'roll", "etat", "état", "हिन्दू", "हिन्द*", "हिन",
    "这是一份", "续约条款的租赁",
)  # fmt: skip
# Words as they come, and beside other things.
ask("force majeure", lambda r: says(r, "force") and says(r, "majeure"), "force", "majeure")
ask("governing-law", lambda r: says(r, "governing law"), "governing law")
ask("forc*", lambda r: says(r, "forc*"), "forc*")
ask("-void", lambda r: not says(r, "void"))
ask('-"force majeure"', lambda r: not says(r, "force majeure"))
ask("-the", lambda r: not says(r, "the"))
ask("zyzzyva OR void", lambda r: any_says(r, "zyzzyva", "void"), "zyzzyva", "void")
ask('status:failed "force majeure"', lambda r: r.status == "failed" and says(r, "force majeure"), "force majeure")
ask(
    'tag.client:acme "governing law"',
    lambda r: r.tags.get("client") == "acme" and says(r, "governing law"),
    "governing law",
)
ask("tool:webfetch mortgage", lambda r: "webfetch" in r.tools and says(r, "mortgage"), "mortgage")
ask("agent:agent_contracts the", lambda r: r.agent == "agent_contracts" and says(r, "the"), "the")
ask("cost:>2 lien", lambda r: over(r.cost, 2e6) and says(r, "lien"), "lien")
ask("created:>-7d lease*", lambda r: over(r.begun, NOW - 7 * DAY) and says(r, "lease*"), "lease*")
ask("lease -tenant", lambda r: says(r, "lease") and not says(r, "tenant"), "lease")
ask("-(lease OR tenant)", lambda r: not any_says(r, "lease", "tenant"))
ask("(lease OR tenant) -has:steps", lambda r: any_says(r, "lease", "tenant") and not r.steps, "lease", "tenant")
ask("OR_ lease", lambda r: says(r, "or") and says(r, "lease"), "or", "lease")
ask(
    "这是一份关于终止条款和续约条款的租赁协议",  # more of them than a phrase has words
    lambda r: says(r, "这是一份关于终止条款和续约条款的租赁协议"),
)
ask("-契約", lambda r: not says(r, "契約"))
ask("契約 OR itgc", lambda r: any_says(r, "契約", "itgc"), "契約", "itgc")
# Together.
ask("status:failed OR cost:>2.9", lambda r: r.status == "failed" or over(r.cost, 2_900_000))
ask(
    "(tool:webfetch OR has:failure_reason) -model:anthropic/*",
    lambda r: ("webfetch" in r.tools or r.failure_reason is not None) and not begins(r.model, "anthropic/"),
)
ask(
    "status:completed (agent:agent_rare OR tag.rare:yes OR zyzzyva)",
    lambda r: r.status == "completed" and (r.agent == "agent_rare" or "rare" in r.tags or says(r, "zyzzyva")),
    "zyzzyva",
)
ask("-(status:completed cost:>1)", lambda r: not (r.status == "completed" and over(r.cost, 1e6)))
ask("-(-(status:failed))", lambda r: r.status == "failed")
ask("-(model:anthropic/* OR has:cost)", lambda r: not (begins(r.model, "anthropic/") or r.cost is not None))
ask("-(-cost:>1)", lambda r: over(r.cost, 1e6))
ask(
    "((status:failed agent:agent_research) OR (status:cancelled agent:agent_intake)) created:>-60d",
    lambda r: (
        (r.status, r.agent) in (("failed", "agent_research"), ("cancelled", "agent_intake"))
        and over(r.begun, NOW - 60 * DAY)
    ),
)
ask("settled_by:sweep OR -has:settled", lambda r: r.settled_by == "sweep" or r.settled is None)
ask(
    "tool:search OR tool:vault.query status:failed",
    lambda r: "search" in r.tools or ("vault.query" in r.tools and r.status == "failed"),
)
