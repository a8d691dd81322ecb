"""Our own ends of the line: the public address, the secrets of events, the backend that is told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from urllib.parse import urlsplit

import httpx2 as httpx

from receiver import addresses, callbacks, clock, errors, notify, signatures, tokens
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import Finding
from receiver.cli.doctor.scene import Scene
from receiver.upstream import probing
from storage import ids

#: Bytes of an answer of our own that are read.
READ = 65536
PUBLIC = "public address"


@dataclass(frozen=True, slots=True)
class Page:
    """What an address answers; `status` is None where nothing does, and `trouble` says why."""

    status: int | None
    body: bytes = b""
    location: str = ""
    trouble: str = ""


async def public_address(scene: Scene) -> AsyncIterator[Finding]:
    """Whether callbacks would come here: the address leads to this very installation."""
    url, is_rehearsal = scene.given.public_url, addresses.is_loopback(scene.given.casedev_base_url)
    if scene.lacks("public_url"):
        return
    if not url:
        yield findings.ok(PUBLIC, "none is set: no callbacks come, the sweep finds the end of each run")
        return
    if not is_rehearsal and (private := await _private(url)):
        said = f"{urlsplit(url).hostname} leads to {private} here, which Case.dev cannot reach"
        yield findings.warning(PUBLIC, said, "see that it leads to a public address elsewhere")
    async with httpx.AsyncClient(timeout=scene.timeout, trust_env=False) as client:
        health = await _page(client, f"{url}/healthz")
        found = health_judged(health, url)
        if found.level is findings.Level.OK and scene.keys:
            token = tokens.Signer(scene.keys).token(ids.new(clock.now()))
            ours = await _page(client, f"{url}{callbacks.CALLBACKS}{token}")
            found = ours_judged(ours, url)
        yield found


async def _private(url: str) -> str | None:
    """An address that is not of the open internet, where the name leads to one."""
    parts = urlsplit(url)
    try:
        found = await notify.resolve(parts.hostname or "", parts.port or 443)
    except (OSError, UnicodeError):
        return None  # told by the exchange
    return next((each for each in found if not addresses.is_public(each)), None)


async def _page(client: httpx.AsyncClient, url: str) -> Page:
    try:
        async with client.stream("GET", url) as answer:
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > READ:
                    break
            return Page(answer.status_code, body, answer.headers.get("location", ""))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Page(None, trouble=probing.cause(error))


def health_judged(page: Page, url: str) -> Finding:
    """Whether a Runledger answers, of whatever installation."""
    if page.status is None:
        advice = (
            "start `runledger serve` and the proxy in front of it, and check RUNLEDGER_PUBLIC_URL; if it is this "
            "machine alone that cannot reach it, look from another one"
        )
        return findings.fault(PUBLIC, f"{url} cannot be reached: {page.trouble}", advice)
    if page.location:
        advice = "set RUNLEDGER_PUBLIC_URL to where it leads: nobody promises that a redirect is followed"
        return findings.fault(PUBLIC, f"{url}/healthz answers {page.status} and leads to {page.location}", advice)
    version = _version(page.body) if page.status == 200 else None
    if version is None:
        advice = (
            "check RUNLEDGER_PUBLIC_URL and the proxy: /healthz, /callbacks/ and /webhooks/case have to come here"
        )
        return findings.fault(PUBLIC, f"{url}/healthz answers {page.status}, and not as Runledger does", advice)
    ours = metadata.version("runledger")
    if version != ours:
        said = f"{url} is served by Runledger {version}, this is {ours}"
        return findings.warning(PUBLIC, said, "restart the server with the release that is installed")
    return findings.ok(PUBLIC, f"{url} answers as Runledger {version}")


def _version(body: bytes) -> str | None:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    version = told.get("version") if isinstance(told, dict) and told.get("ok") is True else None
    return version if isinstance(version, str) else None


def ours_judged(page: Page, url: str) -> Finding:
    """Whether that Runledger knows the callback addresses that are made with our keys."""
    if page.status == 204:
        return findings.ok(PUBLIC, f"{url} leads to this installation, and it knows our callback addresses")
    if page.status == 405:
        advice = (
            "give both the same RUNLEDGER_SECRET_KEYS or data folder, restart the server where they were changed, "
            "or correct RUNLEDGER_PUBLIC_URL"
        )
        said = f"{url} leads to another Runledger: it does not know callback addresses made with our keys"
        return findings.fault(PUBLIC, said, advice)
    told = page.trouble if page.status is None else f"answers {page.status}"
    said = f"{url}/healthz is ours, and {url}{callbacks.CALLBACKS}… {told}"
    return findings.fault(PUBLIC, said, "let the proxy pass /callbacks/ and /webhooks/case from everywhere")


async def secrets(scene: Scene) -> AsyncIterator[Finding]:
    """Whether the secrets of the settings can be used."""
    given, encoding = scene.given.webhook_secrets, scene.given.webhook_key_encoding
    if scene.lacks("webhook_secrets", "webhook_key_encoding"):
        return
    troubles = [trouble for each in given if (trouble := _undecodable(each.get_secret_value(), encoding))]
    for trouble in troubles:
        said, _, advice = trouble.partition("; ")
        yield findings.fault("webhook secrets", said, advice)
    if given and not troubles:
        yield findings.ok("webhook secrets", f"{len(given)} in the settings, {encoding}")
    if not given:
        yield findings.ok("webhook secrets", "none in the settings; events need one, callbacks and sweep do not")


def _undecodable(text: str, encoding: str) -> str:
    try:
        signatures.decode(text, encoding)
    except errors.SettingsError as unusable:
        return str(unusable)
    return ""


async def backend(scene: Scene) -> AsyncIterator[Finding]:
    """Whether the backend that is told could be. Nothing is sent to it."""
    given = scene.given
    if not given.notify_url or scene.lacks("notify_url", "notify_secrets"):
        return
    for each in given.notify_secrets:
        try:
            signatures.decode_own(each.get_secret_value())
        except errors.SettingsError as unusable:
            said, _, advice = str(unusable).partition("; ")
            yield findings.fault("backend", said, advice)
    parts = urlsplit(given.notify_url)
    host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
    try:
        async with asyncio.timeout(scene.timeout):
            found = await notify.resolve(host, port)
            yield backend_judged(host, found, given.notify_allow_private) or await _connected(host, port, found)
    except (OSError, UnicodeError) as error:
        said = f"{host}:{port} cannot be reached: {probing.cause(error)}"
        yield findings.fault(
            "backend", said, "check RUNLEDGER_NOTIFY_URL; what it was not told is kept and tried on"
        )


def backend_judged(host: str, found: Sequence[str], allows_private: bool) -> Finding | None:
    """What stands against these addresses of the backend."""
    private = next((each for each in found if not addresses.is_public(each)), None)
    if private is None or allows_private:
        return None
    said = f"{host} leads to {private}, which is no address of the open internet, so nothing is sent"
    return findings.fault("backend", said, "set RUNLEDGER_NOTIFY_ALLOW_PRIVATE=true if that is meant")


async def _connected(host: str, port: int, found: Sequence[str]) -> Finding:
    """Takes up a connection and lets it go. Raises OSError."""
    family = socket.AF_INET6 if ":" in found[0] else socket.AF_INET
    _, writer = await asyncio.open_connection(found[0], port, family=family)
    writer.close()
    return findings.ok("backend", f"{host}:{port} takes connections; nothing was sent")
