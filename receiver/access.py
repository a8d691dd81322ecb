"""Who is asking: API keys of the form `rl_<id>_<secret>`, and what each may do.

The id finds the key; the secret is 256 random bits of which only the SHA-256 is stored. No stretching is
needed: nobody guesses 256 bits, so a fast hash gives nothing away.
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
from storage import database, keys, states
from storage import errors as storage_errors

#: `last_used_at` is raised at most this often.
USED_EVERY = timedelta(minutes=1)

_TEXT = re.compile(r"rl_([a-z0-9]{1,32})_([A-Za-z0-9_-]{43})")  # 43 characters of base64url hold 256 bits
_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9 _.@-]{1,64}")
_NO_SECRET = hashlib.sha256(b"").hexdigest()


class Scope(StrEnum):
    """What a key may do."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, by the key that came with it."""

    key_id: str
    name: str
    scopes: frozenset[str]

    @property
    def actor(self) -> str:
        """The name under which the ledger knows the caller."""
        return f"key:{self.name}"

    def may(self, scope: Scope) -> bool:
        """Whether one of its scopes allows it; `admin` allows everything, the others themselves alone."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


#: A request without a key.
NOBODY = Caller("", "", frozenset())


def mint(name: str, scopes: Iterable[str], now: datetime) -> tuple[keys.Key, str]:
    """A new key to be stored, and its text, which is shown once. Raises UnusableKey."""
    if _NAME.fullmatch(name) is None or not name.strip():
        raise errors.UnusableKey("a key's name is 1 to 64 characters of A-Z a-z 0-9 space _ . @ -")
    if name in frozenset(states.Submitter):  # the backend is not told of every run of ours
        raise errors.UnusableKey(f"runs of our own stand under the name {name!r}: choose another one")
    wanted = tuple(dict.fromkeys(scopes))
    if not wanted or not set(wanted) <= set(Scope):
        raise errors.UnusableKey(f"a key needs one or more of the scopes {', '.join(Scope)}")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return keys.Key(key_id, name, wanted, _hash(secret), now), f"rl_{key_id}_{secret}"


async def authenticate(store: database.Database, authorizations: Sequence[str], now: datetime) -> Caller:
    """The caller that the Authorization headers of a request (RFC 6750) stand for.

    Raises NotAuthenticated for none, several, junk, an unknown key and a revoked one; Unavailable.
    """
    key_id, secret = parse(authorizations)
    key = await store.read(keys.find, key_id)
    # An unknown id costs the same comparison, so that the time taken does not tell which ids there are.
    matches = hmac.compare_digest(_hash(secret), _NO_SECRET if key is None else key.secret_sha256)
    if key is None or not matches or key.revoked_at is not None:
        raise errors.NotAuthenticated("this API key is unknown or was revoked", was_given=True)
    await _note_use(store, key, now)
    return Caller(key.id, key.name, frozenset(key.scopes))


def demand(caller: Caller, scope: Scope) -> None:
    """Raises NotAuthenticated for nobody, NotPermitted for a key that lacks the scope."""
    if caller is NOBODY:
        raise errors.NotAuthenticated("this needs an API key: Authorization: Bearer rl_…")
    if not caller.may(scope):
        raise errors.NotPermitted(scope.value)


def parse(authorizations: Sequence[str]) -> tuple[str, str]:
    """The id and the secret in the Authorization headers. Raises NotAuthenticated, for any text whatever."""
    if not authorizations:
        raise errors.NotAuthenticated("this needs an API key: Authorization: Bearer rl_…")
    bearer = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
    text = None if bearer is None else _TEXT.fullmatch(bearer[1])
    if text is None:
        raise errors.NotAuthenticated("the Authorization header is not of the form: Bearer rl_…", was_given=True)
    return text[1], text[2]


async def _note_use(store: database.Database, key: keys.Key, now: datetime) -> None:
    if key.last_used_at is not None and now - key.last_used_at < USED_EVERY:
        return
    # A courtesy: reading goes on while the database takes no writes.
    with contextlib.suppress(storage_errors.Unavailable):
        await store.write(keys.used, key.id, now)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
