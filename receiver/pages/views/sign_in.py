"""Sign in with an API key or a one-time link, sign out, and what a browser prefers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from receiver import errors
from receiver.pages import formats, requests, sessions
from receiver.web import authentication, problems, routing
from storage.repositories import api_keys
from storage.transitions import api_key_changes

router = requests.Router()
_YEAR = 365 * 86400
_THEMES = {"light", "dark", "system"}


@router.page("GET", "/sign-in", None)
async def show(given: requests.PageRequest) -> Response:
    """Show the form that takes an API key."""
    return given.page("sign_in.html", fault="", next=requests.local_path(given.parameter("next", "/")))


@router.page("POST", "/sign-in", None)
async def sign_in(given: requests.PageRequest) -> Response:
    """Check the key and begin a session."""
    target = requests.local_path(given.field("next", "/"))
    try:
        with routing.charging(given.context.api.limits, given.request):
            key_id, secret = authentication.parse([f"Bearer {given.field('key').strip()}"])
            key = authentication.verify(await given.database.look_up(api_keys.find, key_id), secret)
    except (errors.NotAuthenticated, errors.TooManyFailures) as failure:
        return _refused(given, failure, _fault(failure), target)
    await authentication.note_use(given.database, key, given.now)
    return begin(given, key, target)


@router.page("GET", "/sign-in/{token}", None)
async def show_link(given: requests.PageRequest) -> Response:
    """Show the button that uses a one-time link up, so that a preview or a scanner of messages does not."""
    return await _with_link(given, _ask)


@router.page("POST", "/sign-in/{token}", None)
async def follow_link(given: requests.PageRequest) -> Response:
    """Use a one-time link up and begin a session of its key."""
    return await _with_link(given, _use_link)


async def _with_link(
    given: requests.PageRequest,
    answer: Callable[[requests.PageRequest, api_keys.SignInLink, api_keys.Key], Awaitable[Response]],
) -> Response:
    """Return the answer to a link that works, or the form for a key with what is wrong with the link."""
    try:
        with routing.charging(given.context.api.limits, given.request):
            return await answer(given, *await _find_link(given))
    except errors.TooManyFailures as failure:
        return _refused(given, failure, _fault(failure), "/")
    except errors.NotAuthenticated as failure:
        return _refused(given, failure, str(failure), "/")


async def _find_link(given: requests.PageRequest) -> tuple[api_keys.SignInLink, api_keys.Key]:
    """Return the link and its key. Raises NotAuthenticated where it does not work."""
    link = await given.database.look_up(api_keys.find_link, authentication.link_hash(given.ids["token"]))
    if link is None:
        raise _unusable("is unknown")
    if link.used_at is not None:
        raise _unusable("was used already")
    if link.expires_at <= given.now:
        raise _unusable("has expired")
    key = await given.database.look_up(api_keys.find, link.key_id)
    if key is None or key.revoked_at is not None:
        raise _unusable("signs in as a key that was revoked")
    return link, key


def _unusable(state: str) -> errors.NotAuthenticated:
    message = f"This link {state}: each works once and for a short time. On the server, runledger open makes one."
    return errors.NotAuthenticated(message, key_given=True)


async def _ask(given: requests.PageRequest, link: api_keys.SignInLink, key: api_keys.Key) -> Response:
    return given.page("sign_in_link.html", key=key, link=link, next=given.parameter("next"))


async def _use_link(given: requests.PageRequest, link: api_keys.SignInLink, _key: api_keys.Key) -> Response:
    key = await given.database.write(api_key_changes.use_link, link.token_sha256, given.now)
    if key is None:  # another browser was faster
        raise _unusable("was used already")
    await authentication.note_use(given.database, key, given.now)
    return begin(given, key, requests.local_path(given.parameter("next", "/")))


def begin(given: requests.PageRequest, key: api_keys.Key, target: str) -> Response:
    """Return a redirect that begins a session of a key, with a new session id.

    A key that may only submit cannot see the overview, so it begins with the form.
    """
    may_read = authentication.caller(key).may(authentication.Scope.READ)
    response = given.redirect(given.url("/submit" if target == "/" and not may_read else target))
    cookie = given.context.signer.cookie(sessions.new(key, given.now))
    given.set_cookie(response, sessions.COOKIE, cookie, int(sessions.LIFETIME.total_seconds()))
    return response


def _refused(given: requests.PageRequest, failure: errors.RequestError, fault: str, target: str) -> Response:
    """Return the form with what is wrong, with the status and headers that the API would answer."""
    problem = problems.answer(failure)
    response = given.page("sign_in.html", problem.status_code, fault=fault, next=target)
    limits = ("retry-after", "ratelimit", "ratelimit-policy")
    response.headers.update({name: problem.headers[name] for name in limits if name in problem.headers})
    return response


def _fault(failure: errors.RequestError) -> str:
    if isinstance(failure, errors.TooManyFailures):
        return "Too many keys from this address did not verify. Wait ten seconds."
    return "This key is unknown or was revoked. The operator can create one: runledger keys create."


@router.page("POST", "/sign-out", None)
async def sign_out(given: requests.PageRequest) -> Response:
    """End the session of this browser, or with `everywhere` all sessions of its key."""
    note = ""
    if given.visitor is not None and given.field("everywhere"):
        key_id, caller = given.visitor.session.key_id, given.caller
        await given.database.write(api_key_changes.end_sessions, key_id, given.now, caller.actor)
        note = f"All sessions of the key {caller.name} have ended."
    response = given.redirect(given.url("/sign-in"), note)
    given.set_cookie(response, sessions.COOKIE, "", 0)
    return response


@router.page("POST", "/preferences", None)
async def prefer(given: requests.PageRequest) -> Response:
    """Keep the theme or the time zone that this browser prefers, and return to the page."""
    response = given.redirect(given.url(requests.local_path(given.field("back", "/"))))
    theme, zone = given.field("theme"), given.field("zone")
    if theme in _THEMES:
        given.set_cookie(response, "theme", "" if theme == "system" else theme, 0 if theme == "system" else _YEAR)
    if zone and formats.zone(zone).key == zone:
        given.set_cookie(response, "zone", zone, _YEAR)
    return response
