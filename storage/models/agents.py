"""The agents of the upstream, as its list shows them."""

from __future__ import annotations

from datetime import datetime

from storage.models import declare


class Agent(declare.Base, table=True):
    """An agent of the upstream with its name. The row stays when the upstream deletes the agent."""

    __tablename__ = "agents"
    id: str = declare.text(null=False, primary_key=True)
    #: The name, which several agents may have; of an agent without one the id.
    name: str = declare.text(null=False, index=True)
    #: When the upstream's list last had the agent.
    seen_at: datetime = declare.at(null=False)
