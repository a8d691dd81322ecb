"""A client of Runledger's API, for programs in Python: `Client`, or `AsyncClient` for an event loop."""

from receiver.client.asynchronous import AsyncClient
from receiver.client.errors import (
    Conflict,
    Gone,
    InvalidAnswer,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    Problem,
    RunledgerError,
    ServerFault,
    ServerUnreachable,
    StillRunning,
    TooManyRequests,
    Unavailable,
)
from receiver.client.exchange import ENDED, Retries
from receiver.client.synchronous import Client

__all__ = [
    "ENDED",
    "AsyncClient",
    "Client",
    "Conflict",
    "Gone",
    "InvalidAnswer",
    "InvalidRequest",
    "NotAuthenticated",
    "NotFound",
    "NotPermitted",
    "Problem",
    "Retries",
    "RunledgerError",
    "ServerFault",
    "ServerUnreachable",
    "StillRunning",
    "TooManyRequests",
    "Unavailable",
]
