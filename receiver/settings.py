"""The settings: one frozen value, read once from the environment and `.env`, handed down as plain values.

Each setting has a help text, from which the manual and `deploy/env.example`
are generated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails, ValidationError

from receiver import client_address, environment, errors, setting_values
from receiver.crypto import log_keys, log_policy, pasted_secrets, signatures
from storage.engine import urls

PREFIX = environment.PREFIX

#: The settings that take one of some words, in upper or lower case.
_WORDS = ("webhook_key_encoding", "adopt", "sql", "ledger", "pages", "metrics", "log_format", "log_level")
SecretList = tuple[SecretStr, ...]


class Settings(BaseModel):
    """All settings of an operator. Commas or spaces separate the values of a list."""

    model_config = ConfigDict(frozen=True)

    casedev_api_key: SecretStr = Field(
        SecretStr(""),
        description="The organisation's key at Case.dev (sk_case_…). Without it nothing is sent.",
    )
    casedev_base_url: str = Field(
        "https://api.case.dev",
        description="Address of Case.dev's API, or of a sandbox.",
    )
    data_dir: Path = Field(Path("data"), description="Folder of the SQLite database and of generated keys.")
    database_url: str = Field(
        "",
        description="Database; empty means runledger.db (SQLite) in the data folder. For replicas PostgreSQL: "
        "postgresql://user:password@host/name.",
    )
    database_pooler: bool = Field(
        False, description="Whether PostgreSQL is reached through a pooler in transaction mode, such as PgBouncer."
    )
    public_url: str = Field(
        "",
        description="The https address under which Case.dev reaches this server. Empty: no callbacks, sweep only.",
    )
    secret_keys: SecretList = Field(
        (),
        description="Keys that sign callback addresses and encrypt webhook secrets, newest first; an old one "
        "stays valid while it is listed. On SQLite one is made and kept in the data folder; PostgreSQL needs it.",
    )
    webhook_secrets: SecretList = Field(
        (), description="Signing secrets of platform events (whsec_…), newest first."
    )
    webhook_key_encoding: Literal["base64", "hex", "raw"] = Field(
        "base64", description="Encoding of the key after whsec_: base64, hex or raw."
    )
    notify_url: str = Field(
        "", description="Your backend's address for a signed POST at each run's end. Empty: no notifications."
    )
    notify_secrets: SecretList = Field(
        (),
        description="Secrets that sign notifications to the backend (whsec_…), newest first; each of them signs. "
        "Needed where RUNLEDGER_NOTIFY_URL is set.",
    )
    notify_allow_private: bool = Field(
        False, description="Whether the backend may be at a private or loopback address."
    )
    capture_events: bool = Field(
        False, description="Whether the event stream of each run is stored, to be replayed later."
    )
    adopt: Literal["none", "all"] = Field(
        "none", description="Whether the sweep adopts runs that were created elsewhere: none or all."
    )
    sweep_seconds: float | None = Field(
        None, gt=0, le=86400, description="Seconds between two sweeps; 60 with a public address, 3 without one."
    )
    worker_concurrency: int = Field(8, ge=1, le=256, description="Jobs that a worker runs at once.")
    body_limit: int = Field(
        1 << 20, ge=1024, le=64 << 20, description="Largest size of a callback or event, in bytes."
    )
    rejected_days: int = Field(
        30,
        ge=1,
        le=36500,
        description="Days after which requests that did not verify are removed, and the content of verified ones "
        "that belong to no run.",
    )
    retention: tuple[tuple[str, int], ...] = Field(
        (), description="Days after which the content of ended runs is erased, as in completed=365d failed=90d."
    )
    trusted_proxies: tuple[client_address.Network, ...] = Field(
        (), description="Networks whose X-Forwarded-For header is trusted, as in 10.0.0.0/8."
    )
    sql: Literal["off", "on"] = Field(
        "off",
        description="Whether POST /v1/sql accepts read-only statements of keys of scope admin: off or on.",
    )
    sql_database_url: str = Field(
        "",
        description="On PostgreSQL the database's address for RUNLEDGER_SQL, with a role that can read only the "
        "listed views (deploy/sql-role.sql creates it). Empty: no statements are accepted.",
    )
    ledger_origin: str = Field(
        "",
        description="Name of a new key of the ledger, which its checkpoints show, such as "
        "runledger.example.com/ledger. Empty: made of the public address.",
    )
    ledger_keys: SecretList = Field(
        (),
        description="Keys that sign the ledger's checkpoints (PRIVATE+KEY+…), newest first; each of them signs. A "
        "public key (name+id+key) no longer signs and is still trusted, also that of an earlier ledger. On SQLite "
        "one is made and kept in the data folder; PostgreSQL needs it.",
    )
    ledger_witnesses: str = Field(
        "",
        description="Witnesses that sign the ledger's checkpoints too: of each its address and its public key, as "
        "in https://witness.example.com witness.example.com+1a2b3c4d+BK…",
    )
    ledger_quorum: int | None = Field(
        None,
        ge=1,
        description="How many of the witnesses an auditor demands under a checkpoint. Empty: more than half.",
    )
    ledger_checkpoint_dir: Path | None = Field(
        None, description="Folder into which checkpoints of the ledger are written too. Empty: into none."
    )
    ledger: Literal["key", "open"] = Field("key", description="Who may read the tree of the ledger: key or open.")
    pages: Literal["on", "off"] = Field("on", description="Whether the server has pages for people: on or off.")
    metrics: Literal["key", "open"] = Field("key", description="Who may read /metrics: key or open.")
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people (console) or programs (json)."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The lowest level that is logged."
    )

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        """Remove blanks around pasted values, and quotes that a shell would remove."""
        read = {name: setting_values.strip_value(value) for name, value in given.items()}
        return {name: value for name, value in read.items() if value != ""}

    @field_validator(*_WORDS, mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("worker_concurrency", "body_limit", "sweep_seconds", "ledger_quorum", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return setting_values.strip_separators(value) if isinstance(value, str) else value

    @field_validator("data_dir", "ledger_checkpoint_dir")
    @classmethod
    def _is_folder(cls, value: Path | None) -> Path | None:
        if str(value).startswith("~"):
            raise ValueError("begins with ~, which only a shell expands: write the full path")
        return value

    @field_validator("casedev_api_key", mode="before")
    @classmethod
    def _is_key(cls, value: Any) -> Any:
        key = pasted_secrets.clean_secret(value) if isinstance(value, str) else value
        if isinstance(key, str) and not setting_values.is_visible(key):
            raise ValueError("contains a blank, a line break or a letter that no key has: paste only the key")
        return key

    @field_validator("webhook_secrets", "notify_secrets", "ledger_keys", mode="before")
    @classmethod
    def _secrets(cls, value: Any) -> Any:
        return pasted_secrets.split_secrets(value) if isinstance(value, str) else value

    @field_validator("secret_keys", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        keys = pasted_secrets.split_secrets(value)
        pasted_secrets.require_long(keys)
        return keys

    @field_validator("ledger_origin")
    @classmethod
    def _is_origin(cls, value: str) -> str:
        if value:
            log_keys.require_name(value)
        return value

    @field_validator("ledger_keys")
    @classmethod
    def _are_log_keys(cls, value: SecretList) -> SecretList:
        log_keys.require_one_log([secret.get_secret_value() for secret in value])
        return value

    @field_validator("ledger_witnesses")
    @classmethod
    def _are_witnesses(cls, value: str) -> str:
        log_policy.parse_witnesses(value)
        return value

    @field_validator("retention", mode="before")
    @classmethod
    def _ages(cls, value: Any) -> Any:
        return setting_values.ages(value) if isinstance(value, str) else value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return client_address.networks(value) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        if value and (fault := urls.problem(value)):
            raise ValueError(fault)
        return value

    @field_validator("sql_database_url")
    @classmethod
    def _is_server(cls, value: str) -> str:
        fault = urls.problem(value) if value.startswith("postgres") else ""
        if value and fault is not None:
            raise ValueError(
                fault or "must be an address such as postgresql://runledger_sql:password@host/runledger"
            )
        return value

    @field_validator("notify_url")
    @classmethod
    def _is_backend(cls, value: str) -> str:
        parts = setting_values.parse_http_url(value)
        if value and (parts is None or parts.fragment):
            raise ValueError("must be an address such as https://backend.example.com/hooks/runs")
        return value

    @field_validator("casedev_base_url", "public_url")
    @classmethod
    def _is_address(cls, value: str, info: ValidationInfo) -> str:
        parts = setting_values.parse_http_url(value)
        example = "https://runledger.example.com" if info.field_name == "public_url" else "https://api.case.dev"
        if value and parts is None:
            raise ValueError(f"must be an address such as {example}")
        if parts is not None and (parts.query or parts.fragment):
            raise ValueError(f"must be an address such as {example}, without a query (?) or fragment (#)")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _secrets_are_long(self) -> Self:
        encoding, demand = self.webhook_key_encoding, signatures.demand_usable
        received = [secret.get_secret_value() for secret in self.webhook_secrets]
        demand(received, lambda text: signatures.decode(text, encoding), errors.ShortSecret)
        sent = [secret.get_secret_value() for secret in self.notify_secrets]
        named = f", and signs what goes to {PREFIX}NOTIFY_URL"
        demand(sent, signatures.decode_notify_secret, errors.SettingsError, named)
        return self

    @model_validator(mode="after")
    def _quorum_is_reachable(self) -> Self:
        count = len(log_policy.parse_witnesses(self.ledger_witnesses))
        if self.ledger_quorum is not None and self.ledger_quorum > count:
            raise ValueError(f"{PREFIX}LEDGER_QUORUM is {self.ledger_quorum}, and there are {count} witnesses")
        return self

    @model_validator(mode="after")
    def _backend_is_safe(self) -> Self:
        parts = urlsplit(self.notify_url)
        if self.notify_url and not self.notify_secrets:
            raise ValueError(
                f"{PREFIX}NOTIFY_URL is set, and {PREFIX}NOTIFY_SECRETS is not: notifications must be signed. "
                'Make a secret for both: echo "whsec_$(openssl rand -base64 32)"'
            )
        if not self.notify_url or self.notify_allow_private:
            return self
        if parts.scheme != "https":
            raise ValueError(f"{PREFIX}NOTIFY_URL must be https, unless {PREFIX}NOTIFY_ALLOW_PRIVATE=true is set")
        host = parts.hostname or ""
        if host == "localhost" or (client_address.is_literal(host) and not client_address.is_public(host)):
            raise ValueError(
                f"{PREFIX}NOTIFY_URL leads to {host}, which is not a public address: "
                f"set {PREFIX}NOTIFY_ALLOW_PRIVATE=true if that is intended"
            )
        return self

    @model_validator(mode="after")
    def _public_is_https(self) -> Self:
        if client_address.is_loopback(self.casedev_base_url):
            return self
        if self.public_url.startswith("http://"):
            raise ValueError(f"{PREFIX}PUBLIC_URL must be https: Case.dev calls nothing else")
        if self.casedev_base_url.startswith("http://"):
            raise ValueError("CASEDEV_BASE_URL must be https: your key goes there")
        return self

    @property
    def url(self) -> str:
        """Return the database's address."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'runledger.db'}"

    @property
    def sql_url(self) -> str:
        """Return the address for users' SQL statements; empty where a database server has no role for them."""
        return self.sql_database_url or (self.url if self.is_embedded else "")

    @property
    def is_embedded(self) -> bool:
        """Return whether the database is a file of ours."""
        return urls.file_path(self.url) is not None


def load(env_file: str | Path | None = ".env", **given: Any) -> Settings:
    """Read the environment and `env_file`; `given` has precedence. Raises SettingsError.

    The message names each wrong setting.
    """
    if trouble := setting_values.file_problem(env_file):
        raise errors.SettingsError(trouble)
    try:
        return Settings(**_read(env_file) | given)
    except ValidationError as invalid:
        raise errors.SettingsError("\n".join(_sentence(each) for each in invalid.errors())) from None


def load_with_defaults(env_file: str | Path | None = ".env") -> tuple[Settings, Mapping[str, Any], list[str]]:
    """Return the settings, the defaults that replace wrong values (by field), and the errors as sentences.

    This is for a program that inspects a broken set-up; a server has to refuse it.
    """
    defaults: dict[str, Any] = {}
    sentences: list[str] = []
    if trouble := setting_values.file_problem(env_file):  # its settings are unknown
        env_file, sentences = None, [trouble]
        defaults = {
            name: field.default
            for name, field in Settings.model_fields.items()
            if not environment.has(_variable(name))
        }
    while True:
        try:
            return Settings(**_read(env_file) | defaults), defaults, sentences
        except ValidationError as invalid:
            found = [_sentence(each) for each in invalid.errors()]
        fields = Settings.model_fields.items()
        wrong = {name: field.default for name, field in fields if name not in defaults and _is_named(name, found)}
        assert wrong, "a sentence names none of the settings that it is about"
        defaults |= wrong
        sentences += found


def _read(env_file: str | Path | None) -> dict[str, Any]:
    """Return the values by field."""
    found = environment.values(env_file)
    return {field: found[name] for field in Settings.model_fields if (name := _variable(field)) in found}


def _variable(field: str) -> str:
    return field.upper() if field.startswith("casedev") else PREFIX + field.upper()


def _is_named(field: str, sentences: Sequence[str]) -> bool:
    return any(re.search(rf"\b{_variable(field)}\b", sentence) for sentence in sentences)


def _sentence(error: ErrorDetails) -> str:
    """Return one problem in one line, without the value, which may be a secret."""
    shown = _variable(str(error["loc"][0]).lower()) if error["loc"] else ""
    text = setting_values.MESSAGES.get(error["type"], error["msg"].removeprefix("Value error, "))
    return f"{shown}: {text}".removeprefix(": ")


def unknown_names(env_file: str | Path = ".env") -> dict[str, str | None]:
    """Return unknown variables with our prefix, also of `env_file`, each with the nearest known name."""
    known = [_variable(name) for name in Settings.model_fields if not name.startswith("casedev")]
    chosen = (environment.URL, environment.KEY, environment.PROFILE)
    return environment.unknown_names([*known, *chosen], env_file)


def require_api_key(settings: Settings) -> None:
    """Raise SettingsError where there is no key for the upstream: runs would be accepted and never sent."""
    if not settings.casedev_api_key.get_secret_value():
        raise errors.SettingsError(
            "CASEDEV_API_KEY is empty: set it to your Case.dev key (sk_case_…). To try Runledger without one, "
            "run `runledger demo`."
        )
