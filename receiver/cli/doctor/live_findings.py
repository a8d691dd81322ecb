"""The findings of a run through the real service. Pure: deliveries and answers are arguments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from receiver import errors, http_headers, settings
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import Finding
from receiver.cli.render import format as render_format
from receiver.crypto import signatures
from receiver.upstream import answer_forms, probing
from storage import states
from storage.repositories import deliveries, runs

#: Characters of a body that are shown, and names of fields at most.
SHOWN, NAMES = 600, 8
#: Advised seconds between two sweeps where no callback comes.
SWEEP = 15


@dataclass(frozen=True, slots=True)
class Received:
    """The deliveries about one run, oldest first; `unverified` are events that name it and did not verify."""

    run: runs.Run
    callbacks: tuple[deliveries.StoredDelivery, ...]
    events: tuple[deliveries.StoredDelivery, ...]
    unverified: tuple[deliveries.StoredDelivery, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """The upstream's answers; None where there was no run to ask about."""

    details: probing.ProbeResult | None
    stream: probing.ProbeResult | None
    unknown_run: probing.ProbeResult
    bad_limit: probing.ProbeResult


@dataclass(frozen=True, slots=True)
class Observation:
    """All observations. `texts` are the known signing secrets, as the upstream spells them."""

    given: settings.Settings
    received: Received
    cancelled: Received | None
    texts: tuple[str, ...]
    answers: Answers


def findings_of(seen: Observation) -> Iterator[Finding]:
    """Yield every finding, in the order of events."""
    yield run_finding(seen.received.run)
    yield from callback_findings(seen.received, seen.given)
    yield states_finding(seen.received, seen.cancelled)
    yield event_finding(seen)
    yield from _document(seen.answers.details)
    yield from stream_finding(seen.answers.stream)
    yield error_finding("unknown run", seen.answers.unknown_run)
    yield error_finding("bad limit", seen.answers.bad_limit)
    limits = http_headers.rate_limits(seen.answers.unknown_run.headers)
    yield findings.ok("rate limits", _headers(limits) if limits else "no x-ratelimit headers")


def run_finding(run: runs.Run) -> Finding:
    """Return how the run ended."""
    if not run.is_terminal:
        message = f"{run.id} is {run.status.value} and did not end in time"
        return findings.warning("run", message, f"`runledger timeline {run.id}`; a longer --wait")
    took = render_format.duration(run.duration_ms)
    message = f"{run.id} {run.status.value}, took {took}, cost {render_format.dollars(run.cost_micros)}"
    message += f", settled by {run.settled_by.value if run.settled_by else render_format.NONE}"
    if run.status is states.Status.COMPLETED:
        return findings.ok("run", message)
    return findings.warning(
        "run", f"{message}: {render_format.line(run.failure_reason)}", f"`runledger show {run.id}`"
    )


def callback_findings(received: Received, given: settings.Settings) -> Iterator[Finding]:
    """Yield the findings about the watcher's callback, its headers and its body."""
    if not received.callbacks:
        is_rare = given.sweep_seconds is None or given.sweep_seconds > SWEEP
        advice = "look at the proxy's log; until callbacks come the sweep finds the end of each run"
        line = f"RUNLEDGER_SWEEP_SECONDS={SWEEP}" if is_rare else ""
        yield findings.warning("callback", "none came", advice, line)
        return
    first, body = received.callbacks[0], received.callbacks[0].body or b""
    copies = sum(1 + each.repeats for each in received.callbacks)
    came = f"came {'once' if copies == 1 else f'{copies} times'}{_after(first, received.run)}"
    yield findings.ok("callback", f"{came}; retries cannot be seen, since each was answered with 2xx")
    yield findings.ok("callback headers", _headers(first.headers or {}))
    yield findings.ok("callback body", render_format.safe(body[:SHOWN].decode("utf-8", "replace")) or "empty")
    places = list(_places(_parsed(body), received.run.upstream_id))
    if places:
        yield findings.ok("callback names", f"the run as {', '.join(places)}")
    else:
        yield findings.warning("callback names", "no run: the address alone tells which it is about")


def _after(delivery: deliveries.StoredDelivery, run: runs.Run) -> str:
    if run.completed_at is None:
        return ""
    return f", {(delivery.received_at - run.completed_at).total_seconds():.1f} s after the reported end"


def _headers(kept: Mapping[str, str]) -> str:
    lines = [(render_format.line(name), render_format.line(value)) for name, value in sorted(kept.items())]
    return "\n".join(map(": ".join, lines))


def _places(value: object, text: str | None, path: str = "") -> Iterator[str]:
    """Yield the paths of the fields that hold exactly this text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, text, f"{path}.{name}" if path else str(name))
    elif text is not None and value == text:
        yield path or "the whole body"


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def states_finding(received: Received, cancelled: Received | None) -> Finding:
    """Return for which terminal states a callback comes, as far as they were tried."""
    tried = {each.run.status.value: bool(each.callbacks) for each in (received, cancelled) if each is not None}
    with_callback = [state for state, came in tried.items() if came]
    without = [state for state, came in tried.items() if not came]
    untried = [state for state in ("completed", "failed", "cancelled") if state not in tried]
    named = (("a callback comes for", with_callback), ("none comes for", without), ("not tried", untried))
    parts = [f"{what}: {', '.join(names)}" for what, names in named if names]
    if without:
        return findings.warning(
            "states that call", "; ".join(parts), "the sweep finds the ends that no callback reports"
        )
    return findings.ok("states that call", "; ".join(parts))


def event_finding(seen: Observation) -> Finding:
    """Return whether the signed platform event came, and how its secret is encoded."""
    given, received = seen.given, seen.received
    if received.events:
        first = received.events[0]
        message = f"{first.event_type} came and verifies, the key read as {given.webhook_key_encoding}"
        return findings.ok("event", message)
    if received.unverified:
        return _unverified(received.unverified, seen.texts, given.webhook_key_encoding)
    if not seen.texts:
        return findings.ok(
            "event", "none came, and no signing secret is known here: `runledger webhooks register`"
        )
    return findings.warning("event", "none came", "`runledger webhooks status` shows the endpoint")


def _unverified(rejected: Sequence[deliveries.StoredDelivery], texts: Sequence[str], set_as: str) -> Finding:
    found = next((how for each in rejected if (how := encoding_of(each, texts))), None)
    if found is None:
        advice = "`runledger webhooks register`, or copy the endpoint's secret into RUNLEDGER_WEBHOOK_SECRETS"
        return findings.warning("event", "one came, and was signed with none of the secrets known here", advice)
    message = f"one came and was rejected: its secret is {found}, and read as {set_as}"
    line = f"RUNLEDGER_WEBHOOK_KEY_ENCODING={found}"
    return findings.warning("event", message, f"set {line} and restart the server", line)


def encoding_of(event: deliveries.StoredDelivery, texts: Sequence[str]) -> str | None:
    """Return the encoding by which a secret verifies a stored event; None where no secret does."""
    tries = ((text, encoding) for text in texts for encoding in signatures.ENCODINGS)
    return next((encoding for text, encoding in tries if _holds(event, text, encoding)), None)


def _holds(event: deliveries.StoredDelivery, text: str, encoding: str) -> bool:
    try:
        claimed = signatures.signature_headers(event.headers or {})
        check = signatures.Check(claimed, [signatures.decode(text, encoding)])
        check.update(event.body or b"")
        check.verified(event.received_at.timestamp())
    except errors.OutsideTolerance:
        return True
    except (errors.BadSignature, errors.SettingsError):
        return False
    return True


def _document(seen: probing.ProbeResult | None) -> Iterator[Finding]:
    """Yield how the fields of the details differ from the documentation."""
    found = answer_forms.fields(seen.body) if seen is not None and seen.error is None else None
    if seen is None or found is None:
        yield findings.warning("details", _unavailable(seen))
        return
    parts = (("missing", found.missing), ("null", found.null), ("undocumented", found.unknown))
    message = "; ".join(f"{what}: {_named(names)}" for what, names in parts if names)
    yield findings.ok(
        "details", f"{render_format.size(len(seen.body))}; {message or 'every field is as documented'}"
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMES
    return ", ".join(render_format.line(name) for name in names[:NAMES]) + (
        f" and {more} more" if more > 0 else ""
    )


def stream_finding(seen: probing.ProbeResult | None) -> Iterator[Finding]:
    """Yield what the stream of an ended run replays, and how it closes."""
    if seen is None or seen.status != 200:
        yield findings.warning("event stream", _unavailable(seen))
        return
    names = answer_forms.event_names(seen.body)
    kinds = _named(list(dict.fromkeys(names))) or "none"
    how = "a close event" if "close" in names else "no close event"
    rest = "the upstream ends the stream" if seen.is_complete else f"the stream stays open ({seen.cause})"
    yield findings.ok("event stream", f"{findings.counted(len(names), 'event')} ({kinds}); {how}; then {rest}")


def error_finding(what: str, seen: probing.ProbeResult) -> Finding:
    """Return what is answered to a wrong request, and in which form."""
    if seen.status is not None and seen.status < 400:
        return findings.ok(f"error: {what}", f"{seen.route} accepts it, with {seen.status}")
    return findings.ok(f"error: {what}", _answered(seen))


def _unavailable(seen: probing.ProbeResult | None) -> str:
    return "there is no run to ask about" if seen is None else _answered(seen)


def _answered(seen: probing.ProbeResult) -> str:
    if seen.status is None:
        return f"{seen.route}: {seen.cause}"
    return f"{seen.route} answers {seen.status}, {answer_forms.error_form(seen.body)}"
