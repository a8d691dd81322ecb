"""The templates of the upstream's routes, as errors, metrics and logs name them (never with an id filled in)."""

from __future__ import annotations

CREATE = "POST /agent/v1/run"
LIST = "GET /agent/v1/run"
EXECUTE = "POST /agent/v1/run/{id}/exec"
STATUS = "GET /agent/v1/run/{id}/status"
DETAILS = "GET /agent/v1/run/{id}/details"
CANCEL = "POST /agent/v1/run/{id}/cancel"
WATCH = "POST /agent/v1/run/{id}/watch"
EXECUTE_AD_HOC = "POST /agent/v1/execute"
AGENT = "GET /agent/v1/agents/{id}"
