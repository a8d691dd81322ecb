"""Views that people save: a question about runs, and the columns that its list shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint

from storage.models import declare


class SavedView(declare.Base, table=True):
    """A saved view of the list of runs. Its owner is the name of an API key."""

    __tablename__ = "saved_views"
    __table_args__ = (UniqueConstraint("owner", "name"),)
    id: str = declare.text(null=False, primary_key=True)
    owner: str = declare.text(null=False)
    name: str = declare.text(null=False)
    is_shared: bool = declare.flag()
    #: The query string of the list: filters, range, sort.
    question: str = declare.text(null=False)
    #: The names of the columns in order; null for those of the list.
    columns: Any = declare.json()
    created_at: datetime = declare.at(null=False)
    updated_at: datetime = declare.at(null=False)
