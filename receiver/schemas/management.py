"""The bodies of answers about what people manage, API keys, and about names."""

from __future__ import annotations

from pydantic import Field

from receiver.schemas import responses


class Key(responses.Answer):
    """An API key without its secret. `lastUsedAt` is at most a minute old."""

    id: str
    name: str
    scopes: list[str]
    created_at: responses.Instant
    revoked_at: responses.Instant | None
    last_used_at: responses.Instant | None


class NewKey(Key):
    """A new API key with its text, which is shown once."""

    key: str = Field(description="For the header Authorization, as in `Bearer rl_…`.")


class Keys(responses.Page):
    """Every API key, oldest first."""

    keys: list[Key]


class Caller(responses.Answer):
    """The API key of a request, by its name."""

    name: str = Field(description="The ledger records it, and it owns saved views.")
    scopes: list[str]


class Agent(responses.Answer):
    """An agent of the upstream."""

    id: str
    name: str


class Agents(responses.Answer):
    """The agents that the upstream's list showed last, by their ids."""

    agents: list[Agent]
