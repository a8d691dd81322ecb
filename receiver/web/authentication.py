"""Authentication by API keys of the form `rl_<id>_<secret>`, and what each key may do.

The key is found by its id. The secret is 256 random bits, of which only the SHA-256 is stored. A slow hash is not
needed: 256 random bits cannot be guessed.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from receiver import errors
from storage import errors as storage_errors
from storage import states
from storage.engine import database
from storage.repositories import api_keys

#: `last_used_at` is updated at most this often.
USED_EVERY = timedelta(minutes=1)

#: 43 characters of base64url hold 256 bits.
_BEARER = re.compile(r"(?i:bearer) +rl_([a-z0-9]{1,32})_([A-Za-z0-9_-]{43}) *", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9 _.@-]{1,64}")
_NO_SECRET = hashlib.sha256(b"").hexdigest()


class Scope(StrEnum):
    """What a key may do."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request, identified by the API key. `actor` is its name in the ledger."""

    name: str
    scopes: frozenset[str]
    actor: str = ""

    def may(self, scope: Scope) -> bool:
        """Return whether a scope of the key allows `scope`. `admin` allows everything, others only themselves."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


#: The caller of a request without a valid key.
ANONYMOUS = Caller("", frozenset())


def mint(name: str, scopes: Iterable[str], now: datetime) -> tuple[api_keys.Key, str]:
    """Return a new key to be stored, and its text, which is shown once. Raises InvalidKeyRequest."""
    if _NAME.fullmatch(name) is None or not name.strip():
        raise errors.InvalidKeyRequest("a key's name is 1 to 64 characters of A-Z a-z 0-9 space _ . @ -")
    if name in frozenset(states.Submitter):  # their runs are not all notified to the backend
        raise errors.InvalidKeyRequest(f"Runledger's own runs have the name {name!r}: choose another one")
    unique = tuple(dict.fromkeys(scopes))
    if not unique or not set(unique) <= set(Scope):
        raise errors.InvalidKeyRequest(f"a key needs one or more of the scopes {', '.join(Scope)}")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return api_keys.Key(key_id, name, unique, _hash(secret), now), f"rl_{key_id}_{secret}"


def mint_link(key_id: str, now: datetime, lifetime: timedelta) -> tuple[api_keys.SignInLink, str]:
    """Return a new one-time link to be stored, and its token, which is shown once."""
    token = secrets.token_urlsafe(32)
    return api_keys.SignInLink(link_hash(token), key_id, now, now + lifetime), token


def link_hash(token: str) -> str:
    """Return the SHA-256 by which the link of a token is found."""
    return _hash(token)


async def authenticate(store: database.Database, authorizations: Sequence[str], now: datetime) -> Caller:
    """Return the caller that the Authorization headers of a request (RFC 6750) identify.

    Raises NotAuthenticated for no header, several, a malformed one, an unknown key and a revoked one; Unavailable.
    """
    key_id, secret = parse(authorizations)
    key = verify(await store.look_up(api_keys.find, key_id), secret)
    await note_use(store, key, now)
    return caller(key)


def verify(key: api_keys.Key | None, secret: str) -> api_keys.Key:
    """Return the key that was found by its id. Raises NotAuthenticated unless the secret is its own."""
    # An unknown id costs the same comparison, so that the time taken does not show which ids exist.
    matches = hmac.compare_digest(_hash(secret), _NO_SECRET if key is None else key.secret_sha256)
    if key is None or not matches or key.revoked_at is not None:
        raise errors.NotAuthenticated("this API key is unknown or was revoked", key_given=True)
    return key


def caller(key: api_keys.Key) -> Caller:
    """Return the caller that the key identifies."""
    return Caller(key.name, frozenset(key.scopes), f"key:{key.name}")


def require_scope(caller: Caller, scope: Scope) -> None:
    """Raise NotAuthenticated for a caller without a key, NotPermitted for a key that lacks the scope."""
    if caller is ANONYMOUS:
        raise errors.NotAuthenticated("this needs an API key: Authorization: Bearer rl_…")
    if not caller.may(scope):
        raise errors.NotPermitted(scope.value)


def parse(authorizations: Sequence[str]) -> tuple[str, str]:
    """Return the id and the secret in the Authorization headers. Raises NotAuthenticated for any other text."""
    if not authorizations:
        raise errors.NotAuthenticated("this needs an API key: Authorization: Bearer rl_…")
    given = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
    if given is None:
        raise errors.NotAuthenticated("the Authorization header is not of the form: Bearer rl_…", key_given=True)
    return given[1], given[2]


async def note_use(store: database.Database, key: api_keys.Key, now: datetime) -> None:
    """Record when the key was used, once a minute at most."""
    if key.last_used_at is not None and now - key.last_used_at < USED_EVERY:
        return
    # Authentication must work while the database takes no writes.
    with contextlib.suppress(storage_errors.Unavailable):
        await store.write(api_keys.record_use, key.id, now)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
