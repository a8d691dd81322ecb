"""Integrations: notifications of the backend, webhook endpoints registered upstream, API keys and their links."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from storage.models import declare


class Notification(declare.Base, table=True):
    """The notification of a run's end to the backend: the same id and bytes in every attempt."""

    __tablename__ = "notifications"
    run_id: str = declare.text(null=False, primary_key=True)
    #: The header `webhook-id`, by which the backend dedupes.
    event_id: str = declare.text(null=False, unique=True)
    body: bytes = declare.blob(null=False)
    created_at: datetime = declare.at(null=False)
    attempts: int = declare.integer(null=False, default=0)
    last_attempt_at: datetime | None = declare.at()
    last_status: int | None = declare.integer()
    last_error: str | None = declare.text()
    delivered_at: datetime | None = declare.at()
    #: When we gave up; null before that.
    stopped_at: datetime | None = declare.at()


class WebhookEndpoint(declare.Base, table=True):
    """A webhook endpoint registered upstream for platform events, with its last known state there."""

    __tablename__ = "webhook_endpoints"
    id: str = declare.text(null=False, primary_key=True)
    #: Null while the answer to the creation is unknown.
    upstream_id: str | None = declare.text(unique=True)
    url: str = declare.text(null=False)
    requested_at: datetime = declare.at(null=False)
    #: Since when a requested secret is not stored yet: an unknown signature may have been made with it.
    awaiting_since: datetime | None = declare.at()
    registered_at: datetime | None = declare.at()
    removed_at: datetime | None = declare.at()
    #: The upstream's value: active, disabled, auto_disabled.
    status: str | None = declare.text()
    failures: int | None = declare.integer()
    checked_at: datetime | None = declare.at()
    check_error: str | None = declare.text()
    #: The number of the latest request for a secret; an answer to an earlier one is outdated.
    fence: int = declare.integer(null=False, default=0)


class WebhookSecret(declare.Base, table=True):
    """A signing secret of an endpoint, as the upstream returned it.

    It is encrypted with a key that is derived from the server's secret keys.
    """

    __tablename__ = "webhook_secrets"
    id: str = declare.text(null=False, primary_key=True)
    endpoint_id: str = declare.text(null=False, index=True)
    sealed: bytes = declare.blob(null=False)
    created_at: datetime = declare.at(null=False)
    #: When the upstream stops signing with it; null while it is the current secret.
    expires_at: datetime | None = declare.at()
    #: The number of the request that returned it: an answer replaces no secret of a later request.
    fence: int = declare.integer(null=False, default=0)


class ApiKey(declare.Base, table=True):
    """An API key. Its secret is not stored, only its hash."""

    __tablename__ = "api_keys"
    id: str = declare.text(null=False, primary_key=True)
    name: str = declare.text(null=False)
    scopes: Any = declare.json(null=False)
    secret_sha256: str = declare.text(null=False)
    created_at: datetime = declare.at(null=False)
    revoked_at: datetime | None = declare.at()
    last_used_at: datetime | None = declare.at()
    #: When its sessions were ended everywhere: those that began before are refused.
    sessions_ended_at: datetime | None = declare.at()


class SignInLink(declare.Base, table=True):
    """A link that signs a browser in once, as an API key. Its token is not stored, only the hash."""

    __tablename__ = "sign_in_links"
    token_sha256: str = declare.text(null=False, primary_key=True)
    key_id: str = declare.text(null=False)
    created_at: datetime = declare.at(null=False)
    expires_at: datetime = declare.at(null=False)
    used_at: datetime | None = declare.at()
