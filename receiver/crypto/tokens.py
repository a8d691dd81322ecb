"""The token of a callback address: our run id and an HMAC, so that nobody can guess one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import itsdangerous

from receiver import errors

_SALT = "runledger.callback"
_FORM = re.compile(r"[A-Za-z0-9_-]{1,128}\.([A-Za-z0-9_-]{43})")  # 43 characters of base64url hold 32 bytes


class Signer:
    """A signer of tokens of the form `<run id>.<base64url HMAC-SHA256>`, the form of itsdangerous.

    `keys` are newest first: the first one signs, each of them verifies. Raises SettingsError for no key or an
    empty one.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or not all(keys):
            raise errors.SettingsError("RUNLEDGER_SECRET_KEYS needs at least one key, and none may be empty")
        # itsdangerous signs with the last key of its list.
        self._signer = itsdangerous.Signer(list(reversed(keys)), salt=_SALT, digest_method=hashlib.sha256)

    def token(self, run_id: str) -> str:
        """Return the token of a run. It is safe as a URL path segment, since our ids are UUID text."""
        return self._signer.sign(run_id).decode("ascii")

    def run_id(self, token: str) -> str:
        """Return the run that a token was made for. Raises BadToken for every other string."""
        form = _FORM.fullmatch(token)
        # The last of 43 characters has two unused bits, which a decoder ignores; only one spelling is valid.
        if form is None or itsdangerous.base64_encode(itsdangerous.base64_decode(form[1])).decode() != form[1]:
            raise errors.BadToken("the token is malformed")
        try:
            return self._signer.unsign(token).decode("ascii")
        except itsdangerous.BadSignature:
            raise errors.BadToken("the token was not signed by any of our keys") from None
