"""The keys with which a deployment signs: given by settings, or on an embedded database made once and kept."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from receiver import errors, settings
from receiver.crypto import key_file, log_keys, log_policy, pasted_secrets

#: The files of kept keys, by the settings that give them in their place.
FILES = {"secret_keys": "secret.key", "ledger_keys": "ledger.key"}
_ADDRESSES = key_file.Kind(
    partial(secrets.token_hex, 32),
    pasted_secrets.is_long,
    "callback addresses and stored webhook secrets of the old key stop working",
)


def of_addresses(given: settings.Settings) -> tuple[str, ...]:
    """Return the keys that sign callback addresses and sessions, newest first.

    Raises SettingsError on a database server without keys: replicas must share them.
    """
    if given.secret_keys:
        return tuple(key.get_secret_value() for key in given.secret_keys)
    if not given.is_embedded:
        raise errors.SettingsError(
            "RUNLEDGER_SECRET_KEYS is empty. Replicas must share it: `openssl rand -hex 32` makes one."
        )
    return (key_file.read_or_create(_file(given, "secret_keys"), _ADDRESSES),)


def missing_files(given: settings.Settings) -> list[str]:
    """Return the names of the files of kept keys that do not exist yet."""
    return [file.name for _, file in sources(given) if file is not None and not file.exists()]


def has_keys_of_addresses(given: settings.Settings) -> bool:
    """Return whether the keys that sign callback addresses exist already, given or kept."""
    return bool(given.secret_keys) or (given.is_embedded and _file(given, "secret_keys").exists())


def of_ledger(given: settings.Settings) -> tuple[log_keys.Signer, ...]:
    """Return the keys that sign checkpoints of the ledger, newest first; all have its origin as their name.

    Raises SettingsError on a database server without keys: replicas must share them.
    """
    if given.ledger_keys:
        texts = (key.get_secret_value() for key in given.ledger_keys)
        return tuple(log_keys.parse(text) for text in texts if log_keys.is_private(text))
    if not given.is_embedded:
        raise errors.SettingsError(
            "RUNLEDGER_LEDGER_KEYS is empty. Replicas must share it: `runledger ledger key --new` makes one."
        )
    kind = key_file.Kind(
        lambda: log_keys.new(origin(given)).private_text,
        log_keys.is_key,
        "what was signed with the old key has to be checked with its public key",
    )
    return (log_keys.parse(key_file.read_or_create(_file(given, "ledger_keys"), kind)),)


def policy(given: settings.Settings) -> log_policy.Policy:
    """Return who vouches for the ledger: all of its keys, also those that sign no longer, and its witnesses.

    Raises SettingsError as `of_ledger` does.
    """
    keys = [log_keys.parse_either(key.get_secret_value()) for key in given.ledger_keys]
    witnesses = log_policy.parse_witnesses(given.ledger_witnesses)
    quorum = given.ledger_quorum or log_policy.majority(len(witnesses))
    return log_policy.Policy(keys or [each.verifier for each in of_ledger(given)], witnesses, quorum)


def origin(given: settings.Settings) -> str:
    """Return the origin that a new key of the ledger gets as its name, which nobody else should have."""
    if given.ledger_origin:
        return given.ledger_origin
    address = urlsplit(given.public_url)
    return f"{address.netloc}{address.path}/ledger" if address.netloc else f"runledger/{secrets.token_hex(8)}"


def sources(given: settings.Settings) -> list[tuple[str, Path | None]]:
    """Return where the keys are: of each setting its variable, and the file that has them in its place."""
    kept = {name: None if getattr(given, name) else _file(given, name) for name in FILES}
    return [(f"{settings.PREFIX}{name.upper()}", file) for name, file in kept.items()]


def _file(given: settings.Settings, name: str) -> Path:
    return given.data_dir / FILES[name]
