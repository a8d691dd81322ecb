"""Sessions: the cookie that signs a browser in, and the token that each of its forms carries.

The cookie holds the id of an API key and a random session id, signed with the server's keys (itsdangerous). What
the session may do follows from the key, which is looked up for each request. No session is
stored, so a browser that signs out only forgets its cookie. The row of the key has the instant at which all of its
sessions were ended.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import itsdangerous

from receiver.web import authentication
from storage.repositories import api_keys

#: The name of the session's cookie.
COOKIE = "runledger_session"
#: How long a session lasts without a request, and the age at which its cookie is made anew.
LIFETIME, RENEWED_AFTER = timedelta(hours=12), timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in: its own id, the API key, when it signed in, and when the cookie was made."""

    id: str
    key_id: str
    began_at: datetime
    made_at: datetime

    def is_old(self, now: datetime) -> bool:
        """Return whether the cookie has to be made anew, so that a session in use never ends."""
        return now - self.made_at > RENEWED_AFTER

    def is_of(self, key: api_keys.Key) -> bool:
        """Return whether the key, as it is stored now, has this session."""
        return key.revoked_at is None and (key.sessions_ended_at is None or self.began_at > key.sessions_ended_at)


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person at the browser: the session and what its key may do."""

    session: Session
    caller: authentication.Caller


def new(key: api_keys.Key, now: datetime) -> Session:
    """Return a new session of a key. It begins after those that were ended, also where the clock went back."""
    ended_at = key.sessions_ended_at
    began_at = now if ended_at is None else max(now, ended_at + timedelta.resolution)
    return Session(secrets.token_urlsafe(16), key.id, began_at, now)


class Signer:
    """A signer of cookies and of the tokens of forms. `keys` are newest first: the first signs, each verifies."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._cookies = _serializer(keys, "runledger.session")
        self._forms = _serializer(keys, "runledger.form")
        self._notes = _serializer(keys, "runledger.note")

    def cookie(self, session: Session) -> str:
        """Return the value of the cookie."""
        instants = session.began_at.timestamp(), session.made_at.timestamp()
        return _text(self._cookies.dumps([session.id, session.key_id, *instants]))

    def session(self, cookie: str, now: datetime) -> Session | None:
        """Return the session of a cookie; None for any other text, and for a session that has ended."""
        try:
            session_id, key_id, *seconds = self._cookies.loads(cookie)
            began, made = (datetime.fromtimestamp(each, UTC) for each in seconds)
        except (itsdangerous.BadData, ValueError, TypeError):
            return None
        return Session(session_id, key_id, began, made) if now - made < LIFETIME else None

    def form_token(self, session: Session) -> str:
        """Return a token for a form. Each differs, so the size of a compressed page tells nothing about it."""
        return _text(self._forms.dumps([secrets.token_hex(4), session.id]))

    def holds(self, token: str, session: Session) -> bool:
        """Return whether the token was made for a form of this session."""
        try:
            _, session_id = self._forms.loads(token)
        except (itsdangerous.BadData, ValueError, TypeError):
            return False
        return bool(session_id == session.id)

    def note(self, text: str) -> str:
        """Return a sentence as the value of a cookie, to be shown on the next page."""
        return _text(self._notes.dumps(text))

    def read_note(self, cookie: str) -> str:
        """Return the sentence of such a cookie; nothing for any other text."""
        try:
            return str(self._notes.loads(cookie))
        except itsdangerous.BadData:
            return ""


def _serializer(keys: Sequence[str], salt: str) -> itsdangerous.URLSafeSerializer:
    signer = {"digest_method": hashlib.sha256}
    return itsdangerous.URLSafeSerializer(list(reversed(keys)), salt=salt, signer_kwargs=signer)


def _text(signed: str | bytes) -> str:
    return signed if isinstance(signed, str) else signed.decode("ascii")
