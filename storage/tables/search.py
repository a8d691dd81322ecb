"""What is made of the texts of runs, so that they are found by their words. All of it can be made anew."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from storage import states
from storage.columns import Integer64
from storage.tables import declare


class Queued(declare.Base, table=True):
    """A run whose texts are not indexed, or not as they are now. `version` grows with each change of them."""

    __tablename__ = "search_queue"
    __table_args__ = (declare.DERIVED,)
    run_seq: int = Field(sa_type=Integer64, primary_key=True)
    version: int = declare.integer(null=False)
    wished_at: datetime = declare.at(null=False)


class Passage(declare.Base, table=True):
    """Up to 255 words of a text in a row. `id` is the run's seq times 65,536 plus a number.

    The words themselves stand under the same id in `passage_words`, an FTS5 table or one of vectors. `start` and
    `stop` are characters of the text.
    """

    __tablename__ = "passages"
    __table_args__ = (declare.one_of("part", states.Part), declare.DERIVED)
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    part: str = declare.text(null=False)
    #: The position of the step, where it is a text of one.
    step: int | None = declare.integer()
    start: int = declare.integer(null=False)
    stop: int = declare.integer(null=False)
