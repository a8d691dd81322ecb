"""Checks of the configuration: the public address, webhook secrets, the backend."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from urllib.parse import urlsplit

import httpx2 as httpx

from receiver import client_address, clock, errors
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import CheckContext, Finding
from receiver.crypto import signatures, tokens
from receiver.inbound import endpoints
from receiver.outbound import notification_sender
from receiver.upstream import probing
from storage import ids

#: Bytes of an answer that are read.
READ = 65536
PUBLIC = "public address"


@dataclass(frozen=True, slots=True)
class Page:
    """The answer of an address. `status` is None where there is none, and `error` says why."""

    status: int | None
    body: bytes = b""
    location: str = ""
    error: str = ""


async def public_address(context: CheckContext) -> AsyncIterator[Finding]:
    """Check that callbacks reach this installation through the public address."""
    url, is_sandbox = context.given.public_url, client_address.is_loopback(context.given.casedev_base_url)
    if context.lacks("public_url"):
        return
    if not url:
        yield findings.ok(PUBLIC, "none is set: there are no callbacks, and the sweep finds the end of each run")
        return
    if not is_sandbox and (private := await _private(url)):
        message = f"{urlsplit(url).hostname} resolves to {private} here, which Case.dev cannot reach"
        yield findings.warning(PUBLIC, message, "check that it resolves to a public address elsewhere")
    async with httpx.AsyncClient(timeout=context.timeout, trust_env=False) as client:
        health = await _page(client, f"{url}/healthz")
        found = health_finding(health, url)
        if found.level is findings.Level.OK and context.keys:
            token = tokens.Signer(context.keys).token(ids.new(clock.now()))
            ours = await _page(client, f"{url}{endpoints.CALLBACKS}{token}")
            found = ours_finding(ours, url)
        yield found


async def _private(url: str) -> str | None:
    """Return an address of a private network, where the host name resolves to one."""
    parts = urlsplit(url)
    try:
        found = await notification_sender.resolve(parts.hostname or "", parts.port or 443)
    except (OSError, UnicodeError):
        return None  # the request that follows reports it
    return next((each for each in found if not client_address.is_public(each)), None)


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
        return Page(None, error=probing.cause(error))


def health_finding(page: Page, url: str) -> Finding:
    """Return whether a Runledger answers at the public address."""
    if page.status is None:
        advice = (
            "start `runledger serve` and the proxy in front of it, and check RUNLEDGER_PUBLIC_URL; where only "
            "this machine cannot reach it, check from another one"
        )
        return findings.fault(PUBLIC, f"{url} cannot be reached: {page.error}", advice)
    if page.location:
        advice = "set RUNLEDGER_PUBLIC_URL to where it leads: the upstream may not follow a redirect"
        return findings.fault(PUBLIC, f"{url}/healthz answers {page.status} and leads to {page.location}", advice)
    version = _version(page.body) if page.status == 200 else None
    if version is None:
        advice = (
            "check RUNLEDGER_PUBLIC_URL and the proxy: /healthz, /callbacks/ and /webhooks/case have to come here"
        )
        return findings.fault(PUBLIC, f"{url}/healthz answers {page.status}, and not as Runledger does", advice)
    ours = metadata.version("runledger")
    if version != ours:
        message = f"{url} is served by Runledger {version}, this is {ours}"
        return findings.warning(PUBLIC, message, "restart the server with the release that is installed")
    return findings.ok(PUBLIC, f"{url} answers as Runledger {version}")


def _version(body: bytes) -> str | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    version = answer.get("version") if isinstance(answer, dict) and answer.get("ok") is True else None
    return version if isinstance(version, str) else None


def ours_finding(page: Page, url: str) -> Finding:
    """Return whether the Runledger there accepts callback addresses that our keys sign."""
    if page.status == 204:
        return findings.ok(PUBLIC, f"{url} leads to this installation, and it knows our callback addresses")
    if page.status == 405:
        advice = (
            "give both the same RUNLEDGER_SECRET_KEYS or data folder, restart the server where they were changed, "
            "or correct RUNLEDGER_PUBLIC_URL"
        )
        message = f"{url} leads to another Runledger: it does not know callback addresses made with our keys"
        return findings.fault(PUBLIC, message, advice)
    answer = page.error if page.status is None else f"answers {page.status}"
    message = f"{url}/healthz is ours, and {url}{endpoints.CALLBACKS}… {answer}"
    return findings.fault(PUBLIC, message, "have the proxy pass /callbacks/ and /webhooks/case from every address")


async def secrets(context: CheckContext) -> AsyncIterator[Finding]:
    """Check that the webhook secrets of the settings can be decoded."""
    given, encoding = context.given.webhook_secrets, context.given.webhook_key_encoding
    if context.lacks("webhook_secrets", "webhook_key_encoding"):
        return
    is_usable = True
    for each in given:
        try:
            signatures.decode(each.get_secret_value(), encoding)
        except errors.SettingsError as unusable:
            is_usable = False
            yield _undecodable("webhook secrets", unusable)
    if given and is_usable:
        yield findings.ok("webhook secrets", f"{len(given)} in the settings, {encoding}")
    if not given:
        yield findings.ok("webhook secrets", "none in the settings; events need one, callbacks and sweep do not")


def _undecodable(name: str, unusable: errors.SettingsError) -> Finding:
    message, _, advice = str(unusable).partition("; ")
    return findings.fault(name, message, advice)


async def backend(context: CheckContext) -> AsyncIterator[Finding]:
    """Check that the backend can be notified. Nothing is sent to it."""
    given = context.given
    if not given.notify_url or context.lacks("notify_url", "notify_secrets"):
        return
    for each in given.notify_secrets:
        try:
            signatures.decode_notify_secret(each.get_secret_value())
        except errors.SettingsError as unusable:
            yield _undecodable("backend", unusable)
    parts = urlsplit(given.notify_url)
    host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
    try:
        async with asyncio.timeout(context.timeout):
            found = await notification_sender.resolve(host, port)
            yield backend_finding(host, found, given.notify_allow_private) or await _connected(host, port, found)
    except (OSError, UnicodeError) as error:
        message = f"{host}:{port} cannot be reached: {probing.cause(error)}"
        yield findings.fault("backend", message, "check RUNLEDGER_NOTIFY_URL; notifications are kept and retried")


def backend_finding(host: str, found: Sequence[str], allows_private: bool) -> Finding | None:
    """Return a fault where the backend has an address that is not allowed."""
    private = next((each for each in found if not client_address.is_public(each)), None)
    if private is None or allows_private:
        return None
    message = f"{host} resolves to {private}, which is no public address, so nothing is sent"
    return findings.fault("backend", message, "set RUNLEDGER_NOTIFY_ALLOW_PRIVATE=true if that is intended")


async def _connected(host: str, port: int, found: Sequence[str]) -> Finding:
    """Open a connection and close it. Raise OSError."""
    family = socket.AF_INET6 if ":" in found[0] else socket.AF_INET
    _, writer = await asyncio.open_connection(found[0], port, family=family)
    writer.close()
    return findings.ok("backend", f"{host}:{port} takes connections; nothing was sent")
