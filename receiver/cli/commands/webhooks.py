"""Commands about the upstream endpoint that sends platform events, its secrets and its failures."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from receiver import clock, errors, settings, signing_keys, timeouts
from receiver.cli import event_loop, open_database, options
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import option
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, results, terminal
from receiver.cli.render import webhooks as render
from receiver.crypto import secret_box
from receiver.inbound import endpoints, webhook_secrets
from receiver.outbound import webhook_registration
from receiver.upstream import client
from receiver.upstream import webhooks as upstream
from storage import states
from storage.engine import database
from storage.query import value_ranges
from storage.repositories import deliveries, webhook_endpoints

app = event_loop.commands(no_args_is_help=True, help="Register for Case.dev's signed events, and manage them.")

#: Seconds between two reads of what is waited for.
INTERVAL = 0.1
_WAITING = "another command changes the webhook endpoint: waiting for it to end, a minute at most"

Wait = Annotated[float, option("SECONDS", "How long to wait for what is sent.", min=0)]


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of these commands, made from one reading of the settings."""

    given: settings.Settings
    store: database.Database
    registrar: webhook_registration.Registrar
    keyring: webhook_secrets.WebhookSecrets

    async def endpoint(self) -> webhook_endpoints.Endpoint:
        """Return the endpoint that is registered. Raise CommandError."""
        found = await self.store.read(webhook_endpoints.find_active)
        if found is None or found.upstream_id is None:
            raise CommandError("no webhook endpoint is registered: `runledger webhooks register` does it")
        return found


@contextlib.asynccontextmanager
async def _tools(opened: Callable[..., Any] = open_database.existing) -> AsyncIterator[Tools]:
    """Open the database and a client of the upstream. Raise SettingsError, CommandError."""
    given = settings.load()
    settings.require_api_key(given)
    box, encoding = secret_box.SecretBox(signing_keys.of_addresses(given)), given.webhook_key_encoding
    secrets = [secret.get_secret_value() for secret in given.webhook_secrets]
    case = client.Client(given.casedev_base_url, given.casedev_api_key.get_secret_value(), connections=1)
    async with contextlib.aclosing(case), opened(given) as store:
        shared_clock = await open_database.shared_clock(store)
        registrar = webhook_registration.Registrar(
            store, case.webhooks, box, encoding, shared_clock, lambda: print(_WAITING, file=sys.stderr)
        )
        known = webhook_secrets.WebhookSecrets(store, box, secrets, encoding, timeouts.Timing(), lambda _: None)
        yield Tools(given, store, registrar, known)


@contextlib.contextmanager
def _unknown_upstream() -> Iterator[None]:
    """Raise CommandError where the upstream does not know the endpoint any more."""
    try:
        yield
    except errors.UpstreamStatusError as answer:
        if answer.status != 404:
            raise
        raise CommandError(
            "the upstream does not know the endpoint any more: `runledger webhooks register` makes another"
        ) from None


@app.command()
async def register(as_json: options.Json = False) -> None:
    """Have Case.dev send the events of runs to RUNLEDGER_PUBLIC_URL.

    It may be repeated: an existing endpoint is found again. Its secret is
    stored in the database, encrypted under RUNLEDGER_SECRET_KEYS, and every
    running server uses it at once. Where the secret is not stored here, the
    endpoint gets a new one; the previous one stays valid for 24 h.

    \b
    Example:
      runledger webhooks register && runledger webhooks test
    """
    async with _tools(open_database.created) as tools:
        found = await tools.registrar.register(_url(tools.given))
        warnings = await tools.keyring.warnings(clock.now())
    if as_json:
        result = {
            "outcome": found.outcome.value,
            "mended": list(found.corrections),
            "others": list(found.duplicates),
        }
        json_lines.mapping(render.endpoint(found.endpoint) | result | {"warnings": warnings})
        return
    for line in _registered(found):
        print(line)
    _show_warnings(warnings)


def _url(given: settings.Settings) -> str:
    """Return where events are to be sent. Raise SettingsError where there is no public address."""
    if not given.public_url:
        raise errors.SettingsError(
            "RUNLEDGER_PUBLIC_URL is empty: set it to the https address at which Case.dev reaches this server"
        )
    return given.public_url + endpoints.EVENTS


def _registered(found: webhook_registration.Registration) -> list[str]:
    which, url = found.endpoint.upstream_id, found.endpoint.url
    outcomes = {
        "created": f"{which} sends agent.run.* to {url} from now on. Its secret is stored and in force.",
        "known": f"{which} sends agent.run.* to {url}, and its secret is stored.",
        "recovered": f"{which} sends agent.run.* to {url}. Its secret was not stored here, so it was given a "
        "new one; the previous one stays valid for 24 h.",
    }
    lines = [outcomes[found.outcome.value], *(f"Corrected upstream: {wrong}." for wrong in found.corrections)]
    if found.duplicates:
        ids = ", ".join(found.duplicates)
        lines.append(f"Other endpoints send to the same address, so that each event comes more than once: {ids}.")
    return [*lines, "  runledger webhooks test"]


def _show_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"! {warning}")


@app.command()
async def rotate(
    grace: Annotated[str, option("TIME", "How long the old secret keeps signing too; at most 30d.")] = "24h",
    as_json: options.Json = False,
) -> None:
    """Change the signing secret, without losing an event.

    Case.dev signs with both secrets until the old one ends. With --grace 0s it
    ends at once; events on their way are accepted for five more minutes.

    \b
    Examples:
      runledger webhooks rotate
      runledger webhooks rotate --grace 0s     the old secret has leaked
    """
    seconds = _seconds(grace)
    async with _tools() as tools:
        with _unknown_upstream():
            rotated = await tools.registrar.rotate(await tools.endpoint(), seconds)
        now = clock.now()
        warnings, secrets = await tools.keyring.warnings(now), tools.keyring.in_force(now)
    if as_json:
        result = {"secrets": render.secrets(secrets), "warnings": warnings}
        json_lines.mapping(render.endpoint(rotated) | result)
        return
    print(f"{rotated.upstream_id} has a new secret, stored and in force: {render.secret_names(secrets, now)}.")
    _show_warnings(warnings)


def _seconds(grace: str) -> int:
    """Return a duration in whole seconds. Raise CommandError, BadFilter."""
    span = value_ranges.milliseconds("grace", grace)
    milliseconds = span.low
    if milliseconds is None or span.high != milliseconds or milliseconds > webhook_registration.MAX_GRACE * 1000:
        raise CommandError("--grace: write one duration, 30d at most, as in 24h or 0s", USAGE)
    return math.ceil(int(milliseconds) / 1000)


@app.command("test")
async def send_test(wait: Wait = 30.0, as_json: options.Json = False) -> None:
    """Have a test event sent, and wait until it is stored here.

    It checks the way from Case.dev to the database: address, proxy, signature.

    \b
    Example:
      runledger webhooks test
    """
    async with _tools() as tools:
        endpoint = await tools.endpoint()
        before = await tools.store.read(deliveries.last_seq)
        began = time.monotonic()
        with _unknown_upstream():
            tested = await tools.registrar.upstream.test(endpoint.upstream_id or "")
        with terminal.spinner("waiting for it to come"):
            found = await event_loop.until(
                bool,
                lambda: tools.store.read(deliveries.find_verified, upstream.TEST, before),
                wait if tested.delivered else 0.0,
                INTERVAL,
            )
        seconds = time.monotonic() - began
        warnings = await tools.keyring.warnings(clock.now())
        signers = [] if found is None else tools.keyring.signers(found)
    if as_json:
        result = {"signedWith": signers, "seconds": round(seconds, 3), "warnings": warnings}
        json_lines.mapping(_test_result(tested, found) | result)
    elif found is not None:
        names = " and ".join(signers) or "no secret that is in force"
        print(f"The test event came after {seconds:.1f} s, signed with {names}.")
        print(f"  runledger deliveries {found.id}")
        _show_warnings(warnings)
    if found is None:
        raise CommandError("\n".join([_missing(tested, endpoint.url), *warnings]))


def _test_result(tested: upstream.TestResult, found: deliveries.StoredDelivery | None) -> dict[str, Any]:
    return {
        "arrived": found is not None,
        "deliveryId": None if found is None else found.id,
        "secretUsed": None if found is None else found.secret_used,
        "upstream": {"delivered": tested.delivered, "responseStatus": tested.status, "error": tested.error},
    }


def _missing(tested: upstream.TestResult, url: str) -> str:
    """Return advice by the status that the upstream got."""
    status = tested.status
    if status is None:
        why = render_format.line(tested.error)
        return f"Case.dev had no answer from {url} ({why}): look at RUNLEDGER_PUBLIC_URL, DNS, certificate, proxy"
    if 200 <= status < 300:
        return (
            f"{url} answered {status}, but nothing came into this database: another server answers there, or one "
            "with another database than this command's (RUNLEDGER_DATA_DIR)"
        )
    hints = {
        401: "the server there did not accept the signature: it has another database, or "
        "RUNLEDGER_WEBHOOK_KEY_ENCODING is not how this secret is encoded",
        404: "the way to the server is missing in a proxy, or RUNLEDGER_PUBLIC_URL has another path",
        503: "the server there cannot verify it now: its log and `runledger webhooks status` say why",
    }
    hint = hints.get(status, "a proxy or another program answers there")
    return f"{url} answered {status}: {hint}"


@app.command()
async def status(as_json: options.Json = False) -> None:
    """Show the upstream's view of the endpoint beside Runledger's.

    \b
    Example:
      runledger webhooks status
    """
    now = clock.now()
    async with _tools() as tools:
        views = await _views(tools, now)
    if as_json:
        json_lines.mapping(render.views(views))
    else:
        render.show(views, now)
    if views.error is not None:
        raise CommandError(f"the upstream could not be asked: {views.error}")


async def _views(tools: Tools, now: datetime) -> render.Views:
    ours = await tools.store.read(webhook_endpoints.find_active)
    theirs, error = None, None
    if ours is not None and ours.upstream_id is not None:
        try:
            theirs = await tools.registrar.refresh(ours)
        except errors.UpstreamError as failure:
            error = str(failure)
    accepted = deliveries.Query(source=states.Source.PLATFORM, verdict=states.Verdict.ACCEPTED, limit=1)
    last, _ = await tools.store.read(deliveries.page, accepted)
    warnings = await tools.keyring.warnings(now)
    return render.Views(ours, theirs, error, tools.keyring.in_force(now), last[0] if last else None, warnings)


@app.command()
async def resume(wait: Wait = 30.0, as_json: options.Json = False) -> None:
    """Enable a disabled endpoint, and have the missed events sent again.

    Of the newest 100 deliveries that failed, those whose event never came
    here are sent again; a sweep finds what is missing beyond that.

    \b
    Example:
      runledger webhooks resume
    """
    async with _tools() as tools:
        endpoint, registrar = await tools.endpoint(), tools.registrar
        with _unknown_upstream():
            await registrar.resume(endpoint)
        missed = await registrar.missed(endpoint)
        with terminal.spinner("replaying"):
            sent = [each for each in missed if await registrar.replay(each)]
        with terminal.spinner("waiting for it to come"):
            absent = await event_loop.until(
                lambda absent: not absent, lambda: registrar.not_stored(sent), wait, INTERVAL
            )
    arrived = len(sent) - len(absent)
    if as_json:
        result = {"missed": len(missed), "replayed": len(sent), "arrived": arrived}
        json_lines.mapping(render.endpoint(endpoint) | {"status": "active"} | result)
    else:
        print(f"{endpoint.upstream_id} is active: events are sent again. A sweep finds what was never sent.")
        counts = f"Events missed: {len(missed)}; sent again: {len(sent)}; of these have come: {arrived}."
        print(counts if missed else "No failed delivery is missing here.")
    if absent:
        raise CommandError("not all of them came: try again, and look at `runledger webhooks status`")


@app.command()
async def remove(as_json: options.Json = False) -> None:
    """Delete the endpoint: no more events are sent. Callbacks and the sweep continue.

    \b
    Example:
      runledger webhooks remove
    """
    async with _tools() as tools:
        endpoint = await tools.endpoint()
        await tools.registrar.remove(endpoint)
    results.sentence(render.endpoint(endpoint), f"{endpoint.upstream_id} is removed.", as_json=as_json)
