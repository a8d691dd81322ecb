"""Sums over the runs that have ended, so that statistics need not read every row. All of it can be made anew.

A key that is not known is the empty text. The day is that of creation upstream, in UTC; `created` says whether
there was one, and where there was none it is the day of acceptance.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Text
from sqlmodel import Field

from storage import states
from storage.columns import Integer64
from storage.tables import declare


class RollupModel(declare.Base, table=True):
    """Ended runs of a day by their model. `duration_ms` is the sum over the `timed` runs that have a duration."""

    __tablename__ = "rollup_models"
    __table_args__ = (declare.one_of("status", states.Status), declare.DERIVED)
    day: str = Field(sa_type=Text, primary_key=True)
    model: str = Field(sa_type=Text, primary_key=True)
    status: str = Field(sa_type=Text, primary_key=True)
    created: bool = Field(sa_type=Boolean, primary_key=True)
    runs: int = declare.integer(null=False)
    cost_micros: int = declare.integer(null=False)
    input_tokens: int = declare.integer(null=False)
    output_tokens: int = declare.integer(null=False)
    timed: int = declare.integer(null=False)
    duration_ms: int = declare.integer(null=False)
    max_duration_ms: int = declare.integer(null=False)


class RollupAgent(declare.Base, table=True):
    """The same by their agent."""

    __tablename__ = "rollup_agents"
    __table_args__ = (declare.one_of("status", states.Status), declare.DERIVED)
    day: str = Field(sa_type=Text, primary_key=True)
    agent_id: str = Field(sa_type=Text, primary_key=True)
    status: str = Field(sa_type=Text, primary_key=True)
    created: bool = Field(sa_type=Boolean, primary_key=True)
    runs: int = declare.integer(null=False)
    cost_micros: int = declare.integer(null=False)
    input_tokens: int = declare.integer(null=False)
    output_tokens: int = declare.integer(null=False)
    timed: int = declare.integer(null=False)
    duration_ms: int = declare.integer(null=False)
    max_duration_ms: int = declare.integer(null=False)


class RollupDuration(declare.Base, table=True):
    """Ended runs by how long they took: those of an agent or a model (`dimension`) in a month, and of a day.

    Buckets up to 31 are milliseconds; of the others there are sixteen to each doubling.
    """

    __tablename__ = "rollup_durations"
    __table_args__ = (declare.one_of("status", states.Status), declare.DERIVED)
    dimension: str = Field(sa_type=Text, primary_key=True)
    key: str = Field(sa_type=Text, primary_key=True)
    month: str = Field(sa_type=Text, primary_key=True)
    status: str = Field(sa_type=Text, primary_key=True)
    created: bool = Field(sa_type=Boolean, primary_key=True)
    bucket: int = Field(sa_type=Integer64, primary_key=True)
    runs: int = declare.integer(null=False)
