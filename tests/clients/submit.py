"""Submit a run with the client that openapi-python-client made, and read it."""

from __future__ import annotations

import os

from made import AuthenticatedClient
from made.api.runs import get_run, submit_run
from made.models.full_run import FullRun
from made.models.submission import Submission

client = AuthenticatedClient(base_url=os.environ["RUNLEDGER_URL"], token=os.environ["RUNLEDGER_API_KEY"])
body = Submission(agent_id="agent_1", prompt="Review the lease.")
submitted = submit_run.sync(client=client, body=body, idempotency_key="python")
assert isinstance(submitted, FullRun), submitted
found = get_run.sync(submitted.id, client=client)
assert isinstance(found, FullRun), found
print(found.status, found.prompt)
