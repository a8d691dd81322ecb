"""The ASGI application of the pages: it finds the page of a request, checks the session, and answers.

A path that is no page's goes to the API.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.middleware import gzip
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver import access_log, client_address, errors
from receiver.pages import failures, protection, requests, sessions
from receiver.web import authentication, problems, request_parsing, routing
from storage import errors as storage_errors
from storage.repositories import api_keys

#: The most bytes and fields of a form.
FORM_BYTES, FORM_FIELDS = 2 << 20, 2_000
_PARAMETER = re.compile(r"\{(\w+)\}")
#: The routes of the API and of monitoring, which answer programs even where a browser asks.
_PROGRAMS = re.compile(r"/(v1|healthz|readyz|metrics|openapi\.json|callbacks|webhooks)(/|$)")
_FORM = re.compile(r"application/x-www-form-urlencoded\b", re.IGNORECASE | re.ASCII)


class Site:
    """The pages in front of the API."""

    def __init__(self, pages: Sequence[requests.Page], context: requests.Context, api: ASGIApp) -> None:
        self._context = context
        self._api = api
        self._log = access_log.AccessLog()
        self._paths = [
            _Path(path, {each.method: each for each in pages if each.path == path})
            for path in sorted({each.path for each in pages}, key=lambda path: ("{" in path, path))
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = client_address.path_below_mount(scope)
        is_program = _PROGRAMS.match(path) is not None
        found, ids = (None, {}) if is_program else self._find(path)
        if found is None and (is_program or not _wants_page(scope)):
            await self._api(scope, receive, send)
            return
        scope["route"] = found
        request, nonce = Request(scope, receive), secrets.token_urlsafe(16)
        bare = requests.PageRequest(self._context, request, self._context.api.clock(), None, nonce, (), ids)
        started = time.perf_counter()
        answering = problems.Answering(send, lambda error: failures.respond(bare, error))

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            with contextlib.suppress(ClientDisconnect):
                response = gzip.GZipMiddleware(await self._answer(bare, found), compresslevel=5)
                await response(scope, receive, routing.without_body(send) if request.method == "HEAD" else send)

        try:
            await answering.run(answer, scope, receive)
        finally:
            self._log.record(scope, answering.status, time.perf_counter() - started)

    def _find(self, path: str) -> tuple[_Path | None, dict[str, str]]:
        for each in self._paths:
            if matched := each.pattern.fullmatch(path):
                return each, matched.groupdict()
        return None, {}

    async def _answer(self, bare: requests.PageRequest, found: _Path | None) -> ASGIApp:
        known = bare
        try:
            if found is None or found.identifies:
                known = await self._with_visitor(bare)
            if found is None:
                raise errors.NotFound("there is no page at this address")
            page = found.page(bare.request.method)
            if known.visitor is not None and page.scope is not None:
                known = replace(known, agents=await self._context.agents.read(known.database, known.now))
            if known.visitor is not None and page.scope is not None and not known.is_partial:
                known = replace(known, health=await self._context.health.look(self._context.api, known.now))
            _demand_scope(known, page)
            response = await page.handler(await self._with_form(known))
        except (errors.ReceiverError, storage_errors.StorageError) as error:
            response = failures.respond(known, error)
        protection.protect(response, bare.nonce)
        self._renew(known, response)
        return response

    async def _with_visitor(self, given: requests.PageRequest) -> requests.PageRequest:
        parameters = request_parsing.pairs(given.request.scope["query_string"])
        return replace(given, visitor=await self._visitor(given), parameters=parameters)

    async def _visitor(self, given: requests.PageRequest) -> sessions.Visitor | None:
        """Return the signed-in visitor; None without a session, or with one that its key has ended."""
        cookie = given.request.cookies.get(sessions.COOKIE)
        session = cookie and self._context.signer.session(cookie, given.now)
        if not session:
            return None
        key = await given.database.look_up(api_keys.find, session.key_id)
        if key is None or not session.is_of(key):
            return None
        return sessions.Visitor(session, authentication.caller(key))

    async def _with_form(self, given: requests.PageRequest) -> requests.PageRequest:
        """Return a request that changes something with its form. Raises where another site may have sent it."""
        request = given.request
        if request.method in {"GET", "HEAD"}:
            return given
        if not _is_same_origin(request):
            raise errors.ForeignForm("this form was not sent from a page of this server")
        context = self._context.api
        if _FORM.match(request.headers.get("content-type", "")) is None:
            raise errors.WrongMediaType("a form has the Content-Type application/x-www-form-urlencoded")
        with context.limits.budget.lease() as lease:
            raw = await request_parsing.raw_body(request, FORM_BYTES, context.timing.slow_body, lease)
        sent = replace(given, form=_fields(raw))
        token = sent.field("csrf")
        if sent.visitor is not None and not self._context.signer.holds(token, sent.visitor.session):
            raise errors.ForeignForm("this form belongs to a session that has ended: load the page again")
        return sent

    def _renew(self, given: requests.PageRequest, response: Response) -> None:
        """Make the cookie of a session in use anew, and remove a note that this page has shown."""
        headers = response.headers.getlist("set-cookie")
        if any(each.startswith(sessions.COOKIE) for each in headers):
            return
        session = given.visitor and given.visitor.session
        if session and session.is_old(given.now):
            renewed = replace(session, made_at=given.now)
            lifetime = int(sessions.LIFETIME.total_seconds())
            given.set_cookie(response, sessions.COOKIE, self._context.signer.cookie(renewed), lifetime)
        is_shown = response.status_code == HTTPStatus.OK and response.media_type == "text/html"
        if is_shown and not given.is_partial and given.request.cookies.get("runledger_note"):
            given.set_cookie(response, "runledger_note", "", 0)


class _Path:
    """One path of the site with its pages by method. It is the `route` of access logs."""

    def __init__(self, path: str, pages: dict[str, requests.Page]) -> None:
        self.path = path
        # No id and no name in a path has a character that terminals, headers or databases may not take.
        self.pattern = re.compile(_PARAMETER.sub(r"(?P<\1>[!-.0-~]{1,128})", path))
        self.identifies = any(each.identifies for each in pages.values())
        self._pages = pages

    def page(self, method: str) -> requests.Page:
        found = self._pages.get("GET" if method == "HEAD" else method)
        if found is None:
            raise errors.WrongMethod(method, tuple(self._pages))
        return found


def _demand_scope(given: requests.PageRequest, page: requests.Page) -> None:
    if page.scope is not None:
        if given.visitor is None:
            raise errors.NotAuthenticated("sign in with an API key")
        authentication.require_scope(given.caller, page.scope)


def _is_same_origin(request: Request) -> bool:
    """Return whether a page of this server sent a form, as the browser says (Fetch Metadata, or Origin)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def _fields(raw: bytes) -> list[tuple[str, str]]:
    """Return the fields of a form in UTF-8. Raises BadBody."""
    try:
        found = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS)
    except ValueError:
        raise errors.BadBody("the form is not UTF-8, or has too many fields") from None
    if any("\x00" in value for _, value in found):
        raise errors.BadBody("the form contains the character NUL")
    return found


def _wants_page(scope: Scope) -> bool:
    """Return whether a browser asks, which gets a page about an unknown address in place of a problem document."""
    accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return scope["type"] == "http" and b"text/html" in accepted
