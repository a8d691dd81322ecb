"""The settings: one frozen value, read once from the environment and `.env`, handed down as plain values.

This file is the sole reader of the environment. Each setting carries its help text, from which the manual and
`deploy/env.example` are made.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from receiver import addresses, errors, keyfile, pasted, signatures, spelling
from storage import dialect

PREFIX = "RUNLEDGER_"
#: UTF-8, with or without the mark that some editors put in front.
ENCODING = "utf-8-sig"

Many = Annotated[tuple[SecretStr, ...], NoDecode]


def _upstream(name: str) -> Any:
    return AliasChoices(name, name.lower())


class Settings(BaseSettings):
    """Everything an operator can set. Values separated by commas or spaces where several are taken."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file_encoding=ENCODING, env_ignore_empty=True, frozen=True, extra="ignore"
    )

    casedev_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=_upstream("CASEDEV_API_KEY"),
        description="The organisation's key at Case.dev (sk_case_…). Without it nothing is sent.",
    )
    casedev_base_url: str = Field(
        "https://api.case.dev",
        validation_alias=_upstream("CASEDEV_BASE_URL"),
        description="Where Case.dev's API is; a sandbox's address for trying things out.",
    )
    data_dir: Path = Field(Path("data"), description="Folder of the embedded database and of the keys made here.")
    database_url: str = Field(
        "",
        description="Database; empty means runledger.db (SQLite) in the data folder. For replicas PostgreSQL: "
        "postgresql://user:password@host/name.",
    )
    database_pooler: bool = Field(
        False, description="Whether a pooler in transaction mode, such as PgBouncer, stands before PostgreSQL."
    )
    public_url: str = Field(
        "",
        description="The https address under which Case.dev reaches this server. Empty: no callbacks, sweep only.",
    )
    secret_keys: Many = Field(
        (),
        description="Keys that sign callback addresses, newest first; an old one stays valid while it is listed. "
        "Made and kept in the data folder where none is given.",
    )
    webhook_secrets: Many = Field((), description="Signing secrets of platform events (whsec_…), newest first.")
    webhook_key_encoding: Literal["base64", "hex", "raw"] = Field(
        "base64", description="How the key stands behind whsec_: base64, hex or raw."
    )
    notify_url: str = Field(
        "", description="Your backend's address that is told of each run's end by a signed POST. Empty: nobody is."
    )
    notify_secrets: Many = Field(
        (),
        description="Secrets that sign what the backend is told (whsec_…), newest first; each of them signs. "
        "Needed where RUNLEDGER_NOTIFY_URL is set.",
    )
    notify_allow_private: bool = Field(
        False, description="Whether the backend may be at a private or loopback address."
    )
    capture_events: bool = Field(
        False, description="Whether the events of each run's stream are stored, to be replayed later."
    )
    adopt: Literal["none", "all"] = Field(
        "none", description="all: the sweep adopts runs that were created elsewhere."
    )
    sweep_seconds: float | None = Field(
        None, gt=0, le=86400, description="Seconds between two sweeps; 60 with a public address, 3 without one."
    )
    jobs: int = Field(8, ge=1, le=256, description="Jobs that are carried out at once.")
    body_limit: int = Field(
        1 << 20, ge=1024, le=64 << 20, description="Bytes of a callback or event that are taken at most."
    )
    rejected_days: int = Field(
        30,
        ge=1,
        le=36500,
        description="Days after which requests that did not verify are removed, and the content of verified ones "
        "that belong to no run.",
    )
    trusted_proxies: Annotated[tuple[addresses.Network, ...], NoDecode] = Field(
        (), description="Networks whose X-Forwarded-For is believed, as in 10.0.0.0/8."
    )
    sql: Literal["off", "on"] = Field(
        "off", description="Whether POST /v1/sql takes statements that read, from keys of scope admin: off or on."
    )
    sql_database_url: str = Field(
        "",
        description="On PostgreSQL the address of the database for such statements, with a role that can read the "
        "listed views and nothing else (deploy/sql-role.sql makes it). Empty: there are none.",
    )
    metrics: Literal["key", "open"] = Field("key", description="Who may read /metrics: key or open.")
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people (console) or programs (json)."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged."
    )

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        """What is pasted has blanks around it, and quotes that a shell would take off."""
        read = {name: spelling.plain(value) for name, value in given.items()}
        return {name: value for name, value in read.items() if value != ""}

    @field_validator("webhook_key_encoding", "adopt", "sql", "metrics", "log_format", "log_level", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("jobs", "body_limit", "sweep_seconds", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return spelling.number(value) if isinstance(value, str) else value

    @field_validator("data_dir")
    @classmethod
    def _is_folder(cls, value: Path) -> Path:
        if str(value).startswith("~"):
            raise ValueError("begins with ~, which only a shell understands: write the folder out")
        return value

    @field_validator("casedev_api_key", mode="before")
    @classmethod
    def _is_key(cls, value: Any) -> Any:
        key = pasted.one(value) if isinstance(value, str) else value
        if isinstance(key, str) and not spelling.is_visible(key):
            raise ValueError("holds a blank, a line break or a letter that no key has: paste the key alone")
        return key

    @field_validator("webhook_secrets", "notify_secrets", mode="before")
    @classmethod
    def _secrets(cls, value: Any) -> Any:
        return pasted.several(value) if isinstance(value, str) else value

    @field_validator("secret_keys", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        keys = pasted.several(value)
        pasted.demand_long(keys)
        return keys

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return addresses.networks(value) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        if value and (fault := dialect.fault(value)):
            raise ValueError(fault)
        return value

    @field_validator("sql_database_url")
    @classmethod
    def _is_server(cls, value: str) -> str:
        fault = dialect.fault(value) if value.startswith("postgres") else ""
        if value and fault is not None:
            raise ValueError(
                fault or "must be an address such as postgresql://runledger_sql:password@host/runledger"
            )
        return value

    @field_validator("notify_url")
    @classmethod
    def _is_backend(cls, value: str) -> str:
        parts = spelling.address(value)
        if value and (parts is None or parts.fragment):
            raise ValueError("must be an address such as https://backend.example.com/hooks/runs")
        return value

    @field_validator("casedev_base_url", "public_url")
    @classmethod
    def _is_address(cls, value: str, info: ValidationInfo) -> str:
        parts = spelling.address(value)
        example = "https://runledger.example.com" if info.field_name == "public_url" else "https://api.case.dev"
        if value and parts is None:
            raise ValueError(f"must be an address such as {example}")
        if parts is not None and (parts.query or parts.fragment):
            raise ValueError(f"must be an address such as {example}, without what stands behind ? or #")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _secrets_are_long(self) -> Self:
        encoding = self.webhook_key_encoding
        _demand_usable(self.webhook_secrets, lambda text: signatures.decode(text, encoding), errors.ShortSecret)
        named = f", and signs what goes to {PREFIX}NOTIFY_URL"
        _demand_usable(self.notify_secrets, signatures.decode_own, errors.SettingsError, named)
        return self

    @model_validator(mode="after")
    def _backend_is_safe(self) -> Self:
        parts = urlsplit(self.notify_url)
        if self.notify_url and not self.notify_secrets:
            raise ValueError(
                f"{PREFIX}NOTIFY_URL is set, and {PREFIX}NOTIFY_SECRETS is not: what your backend is told must be "
                'signed. Make a secret for both: echo "whsec_$(openssl rand -base64 32)"'
            )
        if not self.notify_url or self.notify_allow_private:
            return self
        if parts.scheme != "https":
            raise ValueError(f"{PREFIX}NOTIFY_URL must be https, unless {PREFIX}NOTIFY_ALLOW_PRIVATE=true is set")
        host = parts.hostname or ""
        if host == "localhost" or (addresses.is_literal(host) and not addresses.is_public(host)):
            raise ValueError(
                f"{PREFIX}NOTIFY_URL leads to {host}, which is no address of the open internet: "
                f"set {PREFIX}NOTIFY_ALLOW_PRIVATE=true if that is meant"
            )
        return self

    @model_validator(mode="after")
    def _public_is_https(self) -> Self:
        if addresses.is_loopback(self.casedev_base_url):
            return self
        if self.public_url.startswith("http://"):
            raise ValueError(f"{PREFIX}PUBLIC_URL must be https: Case.dev calls nothing else")
        if self.casedev_base_url.startswith("http://"):
            raise ValueError("CASEDEV_BASE_URL must be https: your key goes there")
        return self

    @property
    def url(self) -> str:
        """The database's address."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'runledger.db'}"

    @property
    def sql_url(self) -> str:
        """The address for statements of anybody's; empty where a server has no role for them."""
        return self.sql_database_url or (self.url if self.is_embedded else "")

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file of ours."""
        return dialect.file_of(self.url) is not None


def _demand_usable(
    secrets: Sequence[SecretStr],
    decode: Callable[[str], signatures.Secret],
    refused: type[errors.SettingsError],
    named: str = "",
) -> None:
    """Raise ValueError for the first secret that `decode` refuses in that way.

    One of platform events that does not decode is refused by nobody: the others verify, and the server says so.
    """
    for place, secret in enumerate(secrets, 1):
        try:
            decode(secret.get_secret_value())
        except refused as unusable:
            raise ValueError(f"{unusable} (it is number {place}{named})") from None
        except errors.SettingsError:
            continue


def load(env_file: str | Path | None = ".env", **given: Any) -> Settings:
    """Reads the environment and `env_file`; `given` wins over both. Raises SettingsError naming what is wrong."""
    if trouble := spelling.file_trouble(env_file):
        raise errors.SettingsError(trouble)
    try:
        return Settings(_env_file=env_file, **given)
    except ValidationError as invalid:
        raise errors.SettingsError("\n".join(_sentence(each) for each in invalid.errors())) from None


def load_sound(env_file: str | Path | None = ".env") -> tuple[Settings, Mapping[str, Any], list[str]]:
    """The settings, the defaults that stand in them for what is wrong, by field, and what is wrong, in sentences.

    For a program that looks into a broken set-up; a server has to refuse it.
    """
    standing: dict[str, Any] = {}
    sentences: list[str] = []
    if trouble := spelling.file_trouble(env_file):  # what it would have set is not known
        env_file, sentences = None, [trouble]
        standing = {name: field.default for name, field in Settings.model_fields.items() if not _is_given(name)}
    while True:
        try:
            return Settings(_env_file=env_file, **standing), standing, sentences
        except ValidationError as invalid:
            told = [_sentence(each) for each in invalid.errors()]
        fields = Settings.model_fields.items()
        wrong = {name: field.default for name, field in fields if name not in standing and _is_named(name, told)}
        assert wrong, "a sentence names none of the settings that it is about"
        standing |= wrong
        sentences += told


def _variable(field: str) -> str:
    return field.upper() if field.startswith("casedev") else PREFIX + field.upper()


def _is_given(field: str) -> bool:
    """Whether the environment itself has it, whatever the case of its name."""
    return _variable(field) in {name.upper() for name in os.environ}  # noqa: TID251


def _is_named(field: str, sentences: Sequence[str]) -> bool:
    return any(re.search(rf"\b{_variable(field)}\b", sentence) for sentence in sentences)


def _sentence(error: Any) -> str:
    """One problem in one line, without the value: it may be a secret."""
    name = str(error["loc"][0]).upper() if error["loc"] else ""
    shown = name if not name or name.startswith("CASEDEV") else PREFIX + name
    said = spelling.SAID.get(error["type"], error["msg"].removeprefix("Value error, "))
    return f"{shown}: {said}".removeprefix(": ")


def unknown_names(env_file: str | Path = ".env") -> dict[str, str | None]:
    """Variables, also of `env_file`, that begin with our prefix and mean nothing, with the nearest that would."""
    known = [PREFIX + name.upper() for name in Settings.model_fields if not name.startswith("casedev")]
    meant = _with_prefix(env_file).items()
    strange = sorted(name for name, value in meant if not spelling.is_service_link(name, value))
    near = {name: next(iter(difflib.get_close_matches(name[:80], known, 1)), None) for name in strange}
    return {name: spelling.OPTIONS.get(name, found) for name, found in near.items() if name not in known}


def service_links(env_file: str | Path = ".env") -> list[str]:
    """Variables that Kubernetes gives to each container, since a service is called `runledger` or begins so."""
    return sorted(name for name, value in _with_prefix(env_file).items() if spelling.is_service_link(name, value))


def _with_prefix(env_file: str | Path) -> dict[str, str]:
    readable = None if spelling.file_trouble(env_file) else env_file
    held = dotenv_values(readable, encoding=ENCODING) if readable else {}
    given = {**held, **os.environ}  # noqa: TID251
    return {name: value or "" for name, value in given.items() if name.startswith(PREFIX)}


def demand_api_key(settings: Settings) -> None:
    """Raises SettingsError where there is no key for the upstream: runs would be taken and never sent."""
    if not settings.casedev_api_key.get_secret_value():
        raise errors.SettingsError(
            "CASEDEV_API_KEY is empty: set it to your Case.dev key (sk_case_…). To try Runledger without one, "
            "run `runledger demo`."
        )


def signing_keys(settings: Settings) -> tuple[str, ...]:
    """The keys that sign callback addresses, newest first; on an embedded database made once and kept.

    Raises SettingsError on a database server without keys: replicas must share them.
    """
    if settings.secret_keys:
        return tuple(key.get_secret_value() for key in settings.secret_keys)
    if not settings.is_embedded:
        raise errors.SettingsError(
            f"{PREFIX}SECRET_KEYS is empty. Replicas must share it: `openssl rand -hex 32` makes one."
        )
    return (keyfile.kept(_kept_key(settings)),)


def has_signing_keys(settings: Settings) -> bool:
    """Whether the keys that sign callback addresses are there already, given or kept."""
    return bool(settings.secret_keys) or (settings.is_embedded and _kept_key(settings).exists())


def _kept_key(settings: Settings) -> Path:
    return settings.data_dir / "secret.key"
