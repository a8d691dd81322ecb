"""The search index over the texts of runs. It can be rebuilt from the runs."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from storage import states
from storage.engine.column_types import Integer64
from storage.models import declare


class SearchQueueRow(declare.Base, table=True):
    """A run whose current texts are not indexed yet. `version` grows with each change of the texts."""

    __tablename__ = "search_queue"
    __table_args__ = (declare.DERIVED,)
    run_seq: int = Field(sa_type=Integer64, primary_key=True)
    version: int = declare.integer(null=False)
    enqueued_at: datetime = declare.at(null=False)


class Passage(declare.Base, table=True):
    """Up to 255 consecutive words of a text. `id` is the run's seq times 65,536 plus a number.

    The words themselves are in `passage_words` under the same id: an FTS5 table on SQLite, a table of tsvectors on
    PostgreSQL. `start` and `stop` are characters of the text.
    """

    __tablename__ = "passages"
    __table_args__ = (declare.one_of("part", states.Part), declare.DERIVED)
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    part: str = declare.text(null=False)
    #: The position of the step, if the text belongs to one.
    step: int | None = declare.integer()
    start: int = declare.integer(null=False)
    stop: int = declare.integer(null=False)
