"""The typed endpoint: pydantic checks the request, dumps the answer, and the same facts make OpenAPI.

    OPERATIONS = (
        endpoint.Operation("GET", "/v1/things/{id}", "One thing", find, scope=access.Scope.READ,
                           answers={200: shapes.Thing}),
    )

`routes(operations, context)` makes the routes of all operations, one for each path.
"""

from receiver.endpoint.description import openapi
from receiver.endpoint.operations import Answer, Call, Context, Header, Metrics, Operation
from receiver.endpoint.serving import Endpoint, routes
from receiver.endpoint.streaming import TYPE as STREAM
from receiver.endpoint.streaming import Events, Pieces

__all__ = [
    "STREAM",
    "Answer",
    "Call",
    "Context",
    "Endpoint",
    "Events",
    "Header",
    "Metrics",
    "Operation",
    "Pieces",
    "openapi",
    "routes",
]
