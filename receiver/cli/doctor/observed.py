"""What a run through the real service shows, in findings. Pure: it is given what was kept and answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from receiver import errors, headers, settings, signatures
from receiver.cli import figures
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import Finding
from receiver.upstream import forms, probing
from storage import deliveries, runs, states

#: Characters of a body that are shown, and names of fields.
SHOWN, NAMES = 600, 8
#: Seconds between two sweeps that are advised where no callback comes.
SWEEP = 15


@dataclass(frozen=True, slots=True)
class Heard:
    """What came about one run, oldest first; `unverified` are events that name it and did not verify."""

    run: runs.Run
    callbacks: tuple[deliveries.Stored, ...]
    events: tuple[deliveries.Stored, ...]
    unverified: tuple[deliveries.Stored, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was answered; None where there was nothing to ask about."""

    details: probing.Seen | None
    stream: probing.Seen | None
    unknown_run: probing.Seen
    bad_limit: probing.Seen


@dataclass(frozen=True, slots=True)
class Observation:
    """All of it. `texts` are the signing secrets that we know, as they are spelled."""

    given: settings.Settings
    heard: Heard
    cancelled: Heard | None
    texts: tuple[str, ...]
    asked: Asked


def told(seen: Observation) -> Iterator[Finding]:
    """Every finding, in the order in which things happened."""
    yield run_told(seen.heard.run)
    yield from callback_told(seen.heard, seen.given)
    yield states_told(seen.heard, seen.cancelled)
    yield event_told(seen)
    yield from _document(seen.asked.details)
    yield from stream_told(seen.asked.stream)
    yield error_told("unknown run", seen.asked.unknown_run)
    yield error_told("bad limit", seen.asked.bad_limit)
    yield limits_told(seen.asked.unknown_run.headers)


def run_told(run: runs.Run) -> Finding:
    """How the run went."""
    if not run.is_terminal:
        said = f"{run.id} is {run.status.value} and did not end in time"
        return findings.warning("run", said, f"`runledger timeline {run.id}`; a longer --wait")
    took = figures.duration(run.duration_ms)
    said = f"{run.id} {run.status.value}, took {took}, cost {figures.dollars(run.cost_micros)}"
    said += f", known by {run.settled_by.value if run.settled_by else figures.NONE}"
    if run.status is states.Status.COMPLETED:
        return findings.ok("run", said)
    return findings.warning("run", f"{said}: {figures.line(run.failure_reason)}", f"`runledger show {run.id}`")


def callback_told(heard: Heard, given: settings.Settings) -> Iterator[Finding]:
    """The watcher's callback, its headers and its body."""
    if not heard.callbacks:
        is_rare = given.sweep_seconds is None or given.sweep_seconds > SWEEP
        advice = "look at the proxy's log; until callbacks come the sweep finds the end of each run"
        line = f"RUNLEDGER_SWEEP_SECONDS={SWEEP}" if is_rare else ""
        yield findings.warning("callback", "none came", advice, line)
        return
    first, body = heard.callbacks[0], heard.callbacks[0].body or b""
    copies = sum(1 + each.repeats for each in heard.callbacks)
    came = f"came {'once' if copies == 1 else f'{copies} times'}{_after(first, heard.run)}"
    yield findings.ok("callback", f"{came}; retries cannot be seen, since each was answered with 2xx")
    yield findings.ok("callback headers", _headers(first.headers or {}))
    yield findings.ok("callback body", figures.safe(body[:SHOWN].decode("utf-8", "replace")) or "empty")
    places = list(_places(_parsed(body), heard.run.upstream_id))
    if places:
        yield findings.ok("callback names", f"the run as {', '.join(places)}")
    else:
        yield findings.warning("callback names", "no run: the address alone tells which it is about")


def _after(delivery: deliveries.Stored, run: runs.Run) -> str:
    if run.completed_at is None:
        return ""
    return f", {(delivery.received_at - run.completed_at).total_seconds():.1f} s after the end that is told"


def _headers(kept: Mapping[str, str]) -> str:
    """In lines of their own; the values come from elsewhere."""
    return "\n".join(f"{figures.line(name)}: {figures.line(value)}" for name, value in sorted(kept.items()))


def _places(value: object, wanted: str | None, path: str = "") -> Iterator[str]:
    """The names of the fields that hold just this text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, wanted, f"{path}.{name}" if path else str(name))
    elif wanted is not None and value == wanted:
        yield path or "the whole body"


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def states_told(heard: Heard, cancelled: Heard | None) -> Finding:
    """For which ends a callback comes, as far as it was tried."""
    tried = {each.run.status.value: bool(each.callbacks) for each in (heard, cancelled) if each is not None}
    fire = [state for state, came in tried.items() if came]
    silent = [state for state, came in tried.items() if not came]
    rest = [state for state in ("completed", "failed", "cancelled") if state not in tried]
    parts = [f"{what}: {', '.join(names)}" for what, names in _parts(fire, silent, rest) if names]
    if silent:
        return findings.warning(
            "states that call", "; ".join(parts), "the sweep finds out what nobody calls about"
        )
    return findings.ok("states that call", "; ".join(parts))


def _parts(fire: list[str], silent: list[str], rest: list[str]) -> tuple[tuple[str, list[str]], ...]:
    return ("a callback comes for", fire), ("none comes for", silent), ("not tried", rest)


def event_told(seen: Observation) -> Finding:
    """The signed platform event: whether it came, and how its signature is to be checked."""
    given, heard = seen.given, seen.heard
    if heard.events:
        first = heard.events[0]
        said = f"{first.event_type} came and verifies, the key read as {given.webhook_key_encoding}"
        return findings.ok("event", said)
    if heard.unverified:
        return _unverified(heard.unverified, seen.texts, given.webhook_key_encoding)
    if not seen.texts:
        return findings.ok(
            "event", "none came, and no signing secret is known here: `runledger webhooks register`"
        )
    return findings.warning("event", "none came", "`runledger webhooks status` tells how the endpoint stands")


def _unverified(rejected: Sequence[deliveries.Stored], texts: Sequence[str], set_as: str) -> Finding:
    found = next((how for each in rejected if (how := encoding_of(each, texts))), None)
    if found is None:
        advice = "`runledger webhooks register`, or copy the endpoint's secret into RUNLEDGER_WEBHOOK_SECRETS"
        return findings.warning("event", "one came, and was signed with none of the secrets known here", advice)
    said = f"one came and was turned away: its secret is {found}, and read as {set_as}"
    line = f"RUNLEDGER_WEBHOOK_KEY_ENCODING={found}"
    return findings.warning("event", said, f"set {line} and restart the server", line)


def encoding_of(event: deliveries.Stored, texts: Sequence[str]) -> str | None:
    """How any of the secrets has to be read for the signature of a stored event to hold; None where none does."""
    tries = ((text, encoding) for text in texts for encoding in signatures.ENCODINGS)
    return next((encoding for text, encoding in tries if _holds(event, text, encoding)), None)


def _holds(event: deliveries.Stored, text: str, encoding: str) -> bool:
    try:
        check = signatures.Check(signatures.claimed(event.headers or {}), [signatures.decode(text, encoding)])
        check.update(event.body or b"")
        check.verified(event.received_at.timestamp())
    except errors.OutsideTolerance:
        return True
    except (errors.BadSignature, errors.SettingsError):
        return False
    return True


def _document(seen: probing.Seen | None) -> Iterator[Finding]:
    """The fields of the details, against what is documented."""
    found = forms.fields(seen.body) if seen is not None and seen.error is None else None
    if seen is None or found is None:
        told = "there is no run to ask about" if seen is None else _answered(seen)
        yield findings.warning("details", told)
        return
    parts = (("missing", found.missing), ("null", found.null), ("undocumented", found.unknown))
    said = "; ".join(f"{what}: {_named(names)}" for what, names in parts if names)
    yield findings.ok("details", f"{figures.size(len(seen.body))}; {said or 'every field is as documented'}")


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMES
    return ", ".join(figures.line(name) for name in names[:NAMES]) + (f" and {more} more" if more > 0 else "")


def stream_told(seen: probing.Seen | None) -> Iterator[Finding]:
    """The stream of a run that has ended: what is replayed, and how it closes."""
    if seen is None or seen.status != 200:
        told = "there is no run to ask about" if seen is None else _answered(seen)
        yield findings.warning("event stream", told)
        return
    names = forms.event_names(seen.body)
    kinds = _named(list(dict.fromkeys(names))) or "none"
    how = "a close event" if "close" in names else "no close event"
    rest = "the upstream ends the stream" if seen.is_whole else f"the stream stays open ({seen.cause})"
    yield findings.ok("event stream", f"{findings.counted(len(names), 'event')} ({kinds}); {how}; then {rest}")


def error_told(what: str, seen: probing.Seen) -> Finding:
    """What is answered to a mistake, and in which form."""
    if seen.status is not None and seen.status < 400:
        return findings.ok(f"error: {what}", f"{seen.route} takes it, with {seen.status}")
    return findings.ok(f"error: {what}", _answered(seen))


def _answered(seen: probing.Seen) -> str:
    if seen.status is None:
        return f"{seen.route}: {seen.cause}"
    return f"{seen.route} answers {seen.status}, {forms.error_form(seen.body)}"


def limits_told(kept: Mapping[str, str]) -> Finding:
    """The headers that tell of limits."""
    found = headers.rate_limits(kept)
    return findings.ok("rate limits", _headers(found) if found else "no x-ratelimit headers")
