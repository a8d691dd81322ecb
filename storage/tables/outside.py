"""What others know of us: the backend that is told, the endpoints that are registered upstream, keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field

from storage.tables import declare


class Notification(declare.Base, table=True):
    """What the backend is told of a run's end: the same id and bytes in every attempt."""

    __tablename__ = "notifications"
    __table_args__ = (UniqueConstraint("event_id"),)
    run_id: str = Field(sa_type=Text, primary_key=True)
    #: The header `webhook-id`, by which the backend dedupes.
    event_id: str = declare.text(null=False)
    body: bytes = declare.blob(null=False)
    created_at: datetime = declare.at(null=False)
    attempts: int = declare.integer(null=False, default=0)
    last_attempt_at: datetime | None = declare.at()
    last_status: int | None = declare.integer()
    last_error: str | None = declare.text()
    delivered_at: datetime | None = declare.at()
    #: When we gave up; null while it is tried.
    stopped_at: datetime | None = declare.at()


class WebhookEndpoint(declare.Base, table=True):
    """An endpoint that was registered upstream for platform events, with what the upstream last showed of it."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (UniqueConstraint("upstream_id"),)
    id: str = Field(sa_type=Text, primary_key=True)
    #: Null while the answer to its creation is not known.
    upstream_id: str | None = declare.text()
    url: str = declare.text(null=False)
    requested_at: datetime = declare.at(null=False)
    #: Since when a secret was asked for that is not stored yet: an unknown signature may be made with it.
    awaiting_since: datetime | None = declare.at()
    registered_at: datetime | None = declare.at()
    removed_at: datetime | None = declare.at()
    #: As the upstream calls it: active, disabled, auto_disabled.
    status: str | None = declare.text()
    failures: int | None = declare.integer()
    checked_at: datetime | None = declare.at()
    check_error: str | None = declare.text()
    #: Of the latest request for a secret; an answer to an earlier one is late.
    fence: int = declare.integer(null=False, default=0)


class WebhookSecret(declare.Base, table=True):
    """A signing secret of an endpoint, encrypted with a key that is derived from the server's secret keys.

    It is kept as the upstream spells it.
    """

    __tablename__ = "webhook_secrets"
    __table_args__ = (Index("ix_webhook_secrets_endpoint_id", "endpoint_id"),)
    id: str = Field(sa_type=Text, primary_key=True)
    endpoint_id: str = declare.text(null=False)
    sealed: bytes = declare.blob(null=False)
    created_at: datetime = declare.at(null=False)
    #: When the upstream stops signing with it; null while it is the current one.
    expires_at: datetime | None = declare.at()
    #: Of the request that it answers: an answer ends no secret that was requested after it.
    fence: int = declare.integer(null=False, default=0)


class ApiKey(declare.Base, table=True):
    """A key of the API. The secret itself is stored nowhere."""

    __tablename__ = "api_keys"
    id: str = Field(sa_type=Text, primary_key=True)
    name: str = declare.text(null=False)
    scopes: Any = declare.json(null=False)
    secret_sha256: str = declare.text(null=False)
    created_at: datetime = declare.at(null=False)
    revoked_at: datetime | None = declare.at()
    last_used_at: datetime | None = declare.at()
