"""Platform events: the endpoint upstream that sends them, its secrets, its failures."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from receiver.cli import loop, options, sentences

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from receiver import registration
    from receiver.cli import endpoints
    from receiver.upstream import webhooks as upstream
    from storage import deliveries

VERBS = typer.Typer(no_args_is_help=True, help="Register for Case.dev's signed events, and look after them.")

#: Seconds between two looks at what is waited for.
LOOK = 0.1

Wait = Annotated[float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for what is sent.")]


@VERBS.command()
def register(as_json: options.Json = False) -> None:
    """Have the events of runs sent to RUNLEDGER_PUBLIC_URL.

    It may be repeated: an endpoint that is there is found again. Its secret
    is stored in the database, encrypted under RUNLEDGER_SECRET_KEYS, and is in
    force at once in every running server. If the secret is not held here, the
    endpoint gets a new one; the one before goes on signing for 24 h.

    \b
    Example:
      runledger webhooks register && runledger webhooks test
    """
    loop.run(_register(as_json))


async def _register(as_json: bool) -> None:
    from receiver import clock
    from receiver.cli import endpoints

    async with endpoints.desk(makes_database=True) as desk:
        found = await desk.registrar.register(desk.url)
        warnings = await desk.keyring.warnings(clock.now())
    if as_json:
        told = endpoints.row(found.endpoint) | {"outcome": found.outcome.value, "mended": list(found.mended)}
        print(json.dumps(told | {"others": list(found.others), "warnings": warnings}))
        return
    for line in _registered(found):
        print(line)
    for warning in warnings:
        print(f"! {warning}")


def _registered(found: registration.Registered) -> list[str]:
    which, url = found.endpoint.upstream_id, found.endpoint.url
    outcomes = {
        "created": f"{which} sends agent.run.* to {url} from now on. Its secret is stored and in force.",
        "known": f"{which} sends agent.run.* to {url}, and its secret is held.",
        "recovered": f"{which} sends agent.run.* to {url}. Its secret was not held here, so it was given a "
        "new one; the one before goes on signing for 24 h.",
    }
    lines = [outcomes[found.outcome.value], *(f"Corrected upstream: {wrong}." for wrong in found.mended)]
    if found.others:
        ids = ", ".join(found.others)
        lines.append(f"Other endpoints send to the same address, so that each event comes more than once: {ids}.")
    return [*lines, "  runledger webhooks test"]


@VERBS.command()
def rotate(
    grace: Annotated[
        str,
        typer.Option(metavar="TIME", help="How long the old secret goes on signing as well; 30d at most."),
    ] = "24h",
    as_json: options.Json = False,
) -> None:
    """Change the signing secret, without losing an event.

    Both secrets are live until the old one ends; with --grace 0s it ends at
    once, and what is on its way is believed for five minutes more.

    \b
    Examples:
      runledger webhooks rotate
      runledger webhooks rotate --grace 0s     the old one is known to a thief
    """
    loop.run(_rotate(grace, as_json))


async def _rotate(grace: str, as_json: bool) -> None:
    from receiver import clock
    from receiver.cli import endpoints

    seconds = _seconds(grace)
    async with endpoints.desk() as desk:
        with endpoints.gone_is_told():
            rotated = await desk.registrar.rotate(await desk.endpoint(), seconds)
        now = clock.now()
        warnings = await desk.keyring.warnings(now)
        held = desk.keyring.in_force(now)
    if as_json:
        print(json.dumps(endpoints.row(rotated) | {"secrets": endpoints.secrets(held), "warnings": warnings}))
        return
    print(f"{rotated.upstream_id} has a new secret, stored and in force: {endpoints.spelled(held, now)}.")
    for warning in warnings:
        print(f"! {warning}")


def _seconds(grace: str) -> int:
    """A duration in whole seconds. Raises Complaint, BadFilter."""
    import math

    from receiver import registration
    from storage import spans

    span = spans.milliseconds("grace", grace)
    milliseconds = span.low
    if milliseconds is None or span.high != milliseconds or milliseconds > registration.LONGEST_GRACE * 1000:
        raise sentences.Complaint("--grace: write one duration, 30d at most, as in 24h or 0s", sentences.USAGE)
    return math.ceil(int(milliseconds) / 1000)


@VERBS.command("test")
def send_test(wait: Wait = 30.0, as_json: options.Json = False) -> None:
    """Have a test event sent, and wait until it is stored here.

    It proves the way from Case.dev to the database: address, proxy, signature.

    \b
    Example:
      runledger webhooks test
    """
    loop.run(_test(wait, as_json))


async def _test(wait: float, as_json: bool) -> None:
    import time

    from receiver import clock
    from receiver.cli import endpoints
    from receiver.upstream import webhooks
    from storage import deliveries

    async with endpoints.desk() as desk:
        endpoint = await desk.endpoint()
        before = await desk.store.read(deliveries.last_seq)
        began = time.monotonic()
        with endpoints.gone_is_told():
            tested = await desk.registrar.upstream.test(endpoint.upstream_id or "")

        async def arrived() -> deliveries.Stored | None:
            return await desk.store.read(deliveries.verified_of_type, webhooks.TEST, before)

        found = await _until(arrived, wait if tested.delivered else 0.0)
        seconds = time.monotonic() - began
        warnings = await desk.keyring.warnings(clock.now())
        signers = [] if found is None else desk.keyring.signers(found)
    if as_json:
        told = {"signedWith": signers, "seconds": round(seconds, 3), "warnings": warnings}
        print(json.dumps(_tested(tested, found) | told))
    elif found is not None:
        _tell_arrived(found.id, signers, seconds, warnings)
    if found is None:
        raise sentences.Complaint("\n".join([_missing(tested, endpoint.url), *warnings]))


def _tell_arrived(delivery_id: str, signers: Sequence[str], seconds: float, warnings: Sequence[str]) -> None:
    names = " and ".join(signers) or "no secret that is in force"
    print(f"The test event came after {seconds:.1f} s, signed with {names}.")
    print(f"  runledger deliveries {delivery_id}")
    for warning in warnings:
        print(f"! {warning}")


def _tested(tested: upstream.Tested, found: deliveries.Stored | None) -> dict[str, Any]:
    return {
        "arrived": found is not None,
        "deliveryId": None if found is None else found.id,
        "secretUsed": None if found is None else found.secret_used,
        "upstream": {"delivered": tested.delivered, "responseStatus": tested.status, "error": tested.error},
    }


def _missing(tested: upstream.Tested, url: str) -> str:
    """What to look at, by what the upstream was answered."""
    from receiver.cli import figures

    status = tested.status
    if status is None:
        why = figures.line(tested.error)
        return f"Case.dev had no answer from {url} ({why}): look at RUNLEDGER_PUBLIC_URL, DNS, certificate, proxy"
    if 200 <= status < 300:
        return (
            f"{url} answered {status}, but nothing came into this database: another server answers there, or one "
            "with another database than this command's (RUNLEDGER_DATA_DIR)"
        )
    hints = {
        401: "the server there did not believe the signature: it has another database, or "
        "RUNLEDGER_WEBHOOK_KEY_ENCODING is not how this secret is encoded",
        404: "the way to the server is missing in a proxy, or RUNLEDGER_PUBLIC_URL has another path",
        503: "the server there cannot verify it now: its log and `runledger webhooks status` say why",
    }
    hint = hints.get(status, "a proxy or another program answers there")
    return f"{url} answered {status}: {hint}"


@VERBS.command()
def status(as_json: options.Json = False) -> None:
    """Show upstream's view of the endpoint beside ours.

    \b
    Example:
      runledger webhooks status
    """
    loop.run(_status(as_json))


async def _status(as_json: bool) -> None:
    from receiver import clock
    from receiver.cli import endpoints

    now = clock.now()
    async with endpoints.desk() as desk:
        found = await endpoints.standing(desk, now)
    if as_json:
        print(json.dumps(endpoints.as_json(found)))
    else:
        endpoints.show(found, now)
    if found.trouble is not None:
        raise sentences.Complaint(f"the upstream could not be asked: {found.trouble}")


@VERBS.command()
def resume(wait: Wait = 30.0, as_json: options.Json = False) -> None:
    """Have events sent again after the upstream stopped, and what was missed.

    Of the newest 100 deliveries that failed, those whose event never came
    here are sent again; what is missing beyond that a sweep finds out.

    \b
    Example:
      runledger webhooks resume
    """
    loop.run(_resume(wait, as_json))


async def _resume(wait: float, as_json: bool) -> None:
    from receiver.cli import endpoints

    async with endpoints.desk() as desk:
        endpoint = await desk.endpoint()
        with endpoints.gone_is_told():
            await desk.registrar.resume(endpoint)
        missed = await desk.registrar.missed(endpoint)
        sent = await _replay(desk, missed)

        async def all_came() -> bool:
            return not await desk.registrar.absent(sent)

        if sent:
            await _until(all_came, wait)
        absent = await desk.registrar.absent(sent)
    if as_json:
        told = {"missed": len(missed), "replayed": len(sent), "arrived": len(sent) - len(absent)}
        print(json.dumps(endpoints.row(endpoint) | {"status": "active"} | told))
    else:
        _tell_resumed(endpoint.upstream_id, missed, sent, absent)
    if absent:
        raise sentences.Complaint("not all of them came: try again, and look at `runledger webhooks status`")


async def _replay(desk: endpoints.Desk, missed: Sequence[upstream.Delivery]) -> list[upstream.Delivery]:
    """Has them sent again one by one; those that it was possible for."""
    from receiver.cli import tables

    with tables.progress() as bar:
        return [each for each in bar.track(missed, description="replaying") if await desk.registrar.replay(each)]


def _tell_resumed(
    upstream_id: str | None,
    missed: Sequence[upstream.Delivery],
    sent: Sequence[upstream.Delivery],
    absent: Sequence[upstream.Delivery],
) -> None:
    print(f"{upstream_id} is active: events are sent again. A sweep looks after what was never sent.")
    if not missed:
        print("No failed delivery is missing here.")
        return
    print(f"Events missed: {len(missed)}; sent again: {len(sent)}; of these have come: {len(sent) - len(absent)}.")


@VERBS.command()
def remove(as_json: options.Json = False) -> None:
    """Have no events sent any more. Callbacks and sweep go on.

    \b
    Example:
      runledger webhooks remove
    """
    loop.run(_remove(as_json))


async def _remove(as_json: bool) -> None:
    from receiver.cli import endpoints

    async with endpoints.desk() as desk:
        endpoint = await desk.endpoint()
        await desk.registrar.remove(endpoint)
    print(json.dumps(endpoints.row(endpoint)) if as_json else f"{endpoint.upstream_id} is removed.")


async def _until(look: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """The first true thing that is seen, or the last one that was seen in time."""
    import asyncio

    found = await look()
    with _moving(), contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            # The server commits in a process of its own, unheard here.
            while not found:
                await asyncio.sleep(LOOK)
                found = await look()
    return found


def _moving() -> contextlib.AbstractContextManager[object]:
    """A line that moves, where somebody looks."""
    from receiver.cli import tables

    out = tables.console(to_stderr=True)
    return out.status("waiting for it to come") if sys.stderr.isatty() else contextlib.nullcontext()
