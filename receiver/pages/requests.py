"""Requests for pages: the pages and their handlers, and the checked request that a handler receives."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode
from zoneinfo import ZoneInfo

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from receiver import client_address, errors
from receiver.inbound import signature_doctor
from receiver.pages import agent_names, formats, health, rendering, sessions
from receiver.web import authentication, operations
from storage.engine.database import Database, Reader, Snapshot

T = TypeVar("T")


#: Path, name, key (after g) and scope of the pages in the top bar.
NAVIGATION = (
    ("/", "Overview", "o", authentication.Scope.READ),
    ("/runs", "Runs", "r", authentication.Scope.READ),
    ("/deliveries", "Deliveries", "d", authentication.Scope.READ),
    ("/jobs", "Jobs", "j", authentication.Scope.READ),
    ("/ledger", "Ledger", "l", authentication.Scope.READ),
    ("/sql", "SQL", "s", authentication.Scope.ADMIN),
    ("/settings", "Settings", "t", authentication.Scope.ADMIN),
)


#: The characters of an address that have a meaning in it, as the header Location takes them.
_ADDRESS_SIGNS = "!#$%&'()*+,/:;=?@[]~"

#: Checks of what is around the server: its settings, folders, clock and store.
Checks = Callable[[Database], Awaitable[Sequence[health.Line]]]
#: The health before it was looked at.
_UNSEEN = health.Health(())


@dataclass(frozen=True)
class Context:
    """The context of all pages: that of the API, and what only pages use.

    `configuration` is what the server was started with, as rows of name, value and explanation without secrets.
    """

    api: operations.Context
    signer: sessions.Signer
    is_https: bool = False
    health: health.Watch = field(default_factory=health.Watch)
    configuration: Sequence[tuple[str, str, str]] = ()
    agents: agent_names.Names = field(default_factory=agent_names.Names)
    #: Returns what is wrong with the signature of a stored event; None where no secrets are known.
    examine: signature_doctor.Doctor | None = None
    #: Returns what is found about the settings and surroundings of this server; None where nothing checks them.
    checks: Checks | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One checked request for a page. `ids` are the parameters of the path, `form` the fields of a POST.

    `visitor` is None on pages that need no session. `nonce` is that of the page's content security policy.
    `agents` are the names of agents by their ids.
    """

    context: Context
    request: Request
    now: datetime
    visitor: sessions.Visitor | None
    nonce: str
    parameters: Sequence[tuple[str, str]]
    ids: Mapping[str, str]
    form: Sequence[tuple[str, str]] = ()
    health: health.Health = _UNSEEN
    agents: Mapping[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        return self.context.api.database

    @property
    def headers(self) -> Headers:
        """Return the request headers; names are case-insensitive."""
        return self.request.headers

    @property
    def caller(self) -> authentication.Caller:
        """Return the signed-in caller in the form of the API."""
        return authentication.ANONYMOUS if self.visitor is None else self.visitor.caller

    @property
    def is_partial(self) -> bool:
        """Return whether htmx asks, which puts the answer into a page that is shown already."""
        return self.headers.get("hx-request") == "true"

    @property
    def is_encrypted(self) -> bool:
        """Return whether this request came by https."""
        proxies, proto = self.context.api.limits.trusted_proxies, self.headers.get("x-forwarded-proto")
        return self.context.is_https or client_address.is_encrypted(self.request.scope, proto, proxies)

    @property
    def can_be_overheard(self) -> bool:
        """Return whether others can read a key that is typed into this page."""
        return not (self.is_encrypted or client_address.is_loopback(str(self.request.url)))

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone in which this browser shows instants."""
        return formats.zone(self.request.cookies.get("zone", ""))

    def agent_name(self, agent_id: str) -> str:
        """Return the name of an agent; of one whose name is unknown the id."""
        return self.agents.get(agent_id, agent_id)

    def may(self, scope: authentication.Scope) -> bool:
        """Return whether the key of the session has the scope."""
        return self.caller.may(scope)

    def parameter(self, name: str, default: str = "") -> str:
        """Return the first parameter of this name in the query string."""
        return next((value for key, value in self.parameters if key == name), default)

    def field(self, name: str, default: str = "") -> str:
        """Return the first field of this name in the form."""
        return next((value for key, value in self.form if key == name), default)

    def fields(self, name: str) -> list[str]:
        """Return all values of a field of the form, such as those of checked boxes."""
        return [value for key, value in self.form if key == name]

    def url(self, path: str, parameters: Iterable[tuple[str, Any]] | Mapping[str, Any] = ()) -> str:
        """Return the address of a page below the mount point; parameters that are None or empty are left out."""
        pairs = parameters.items() if isinstance(parameters, Mapping) else parameters
        query = urlencode([(name, str(value)) for name, value in pairs if value is not None and value != ""])
        root: str = self.request.scope.get("root_path", "")
        return f"{root}{path}{'?' if query else ''}{query}"

    async def read(self, function: Callable[[Snapshot], T], *, quick: bool = False) -> T:
        """Run a read for a page: in one transaction and for a limited time. Raises StatementTimeout, Unavailable.

        A `quick` one is known to take less than a millisecond.
        """
        reader = Reader.QUICK if quick else Reader.TIMED
        return await self.database.read_by(reader, function)

    def page(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """Return a page made of a template; `values` are its variables."""
        return rendering.respond(rendering.render(template, self._common() | values), status)

    def block(self, template: str, block: str, /, **values: Any) -> str:
        """Return one block of a template, for a partial answer or a message of a stream."""
        return rendering.render_block(template, block, self._common() | values)

    def partial(self, template: str, *blocks: str, **values: Any) -> Response:
        """Return blocks of a template as a partial answer."""
        variables = self._common() | values
        shown = (rendering.render_block(template, each, variables) for each in blocks)
        return rendering.respond("\n".join(shown), 200)

    def redirect(self, path: str, note: str = "") -> Response:
        """Return a redirect to the address of a page, which will show the note once."""
        response = Response(status_code=303, headers={"location": quote(path, safe=_ADDRESS_SIGNS)})
        if note:
            self.set_cookie(response, "runledger_note", self.context.signer.note(note), 60)
        return response

    def set_cookie(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Set a cookie that scripts cannot read."""
        root: str = self.request.scope.get("root_path", "")
        where = root or "/"
        response.set_cookie(name, value, seconds, None, where, None, self.is_encrypted, True, "lax")

    @property
    def address(self) -> str:
        """Return the path and query of this page below the mount point, to return to it."""
        scope = self.request.scope
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        query = scope["query_string"].decode("latin-1")
        return f"{path}?{query}" if query else path

    @property
    def section(self) -> str:
        """Return the entry of the navigation to which this page belongs."""
        return "/" + self.address.removeprefix("/").partition("/")[0].partition("?")[0]

    def navigation(self) -> list[tuple[str, str, str]]:
        """Return path, name and key of the pages in the top bar of this visitor."""
        return [each[:3] for each in NAVIGATION if self.may(each[3]) and (each[0] != "/sql" or self.has_sql)]

    @property
    def has_sql(self) -> bool:
        return self.context.api.run_sql is not None

    def note(self) -> str:
        """Return the sentence that the previous request left for this page."""
        cookie = self.request.cookies.get("runledger_note", "")
        return self.context.signer.read_note(cookie) if cookie else ""

    def _common(self) -> dict[str, Any]:
        """Return the variables that every template has."""
        session = self.visitor and self.visitor.session
        return {
            "page": self,
            "url": self.url,
            "nonce": self.nonce,
            "may": lambda scope: self.may(authentication.Scope(scope)),
            "agent_name": self.agent_name,
            "csrf": self.context.signer.form_token(session) if session else "",
            "zone": self.zone,
            "theme": self.request.cookies.get("theme", ""),
            "now": self.now,
        }


Handler = Callable[[PageRequest], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Page:
    """One method of one path. Without a `scope` no session is needed; `identifies`: one is looked for."""

    method: str
    path: str
    scope: authentication.Scope | None
    handler: Handler
    identifies: bool = True


@dataclass(slots=True)
class Router:
    """The pages of one subject, each declared above its handler."""

    pages: list[Page] = field(default_factory=list)

    def page(
        self, method: str, path: str, scope: authentication.Scope | None, *, identifies: bool = True
    ) -> Callable[[Handler], Handler]:
        """Return a decorator that adds a page. `{id}` in a path is an id, `{n}` a number."""

        def add(handler: Handler) -> Handler:
            assert inspect.iscoroutinefunction(handler)
            self.pages.append(Page(method, path, scope, handler, identifies))
            return handler

        return add


def cookie_value(text: str) -> str:
    """Return a text as a part of a cookie's value."""
    return quote(text[:300], safe="")


def cookie_text(value: str) -> str:
    """Return the text of such a part; the browser can send any."""
    return unquote(value, errors="replace").replace("\x00", "")[:300]


def local_path(text: str) -> str:
    """Return the path of a page that a parameter names, `/` for an address of another host."""
    is_local = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_local else "/"


def number(text: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """Return a number of a path or a parameter. Raises NotFound for anything else."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and least <= int(text) <= most):
        raise errors.NotFound("the address names no number that exists here")
    return int(text)
