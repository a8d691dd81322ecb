"""Rollups: sums over ended runs, so that statistics need not read every row. They can be rebuilt from the runs.

An unknown key is the empty text. The day is the UTC day of creation upstream where `created` is true, else the day
of acceptance.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Text
from sqlmodel import Field

from storage import states
from storage.engine.column_types import Integer64
from storage.models import declare


class RollupModel(declare.Base, table=True):
    """Ended runs by day and model. `duration_ms` is the sum over the `timed` runs, which have a duration."""

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
    """Ended runs by day and agent; columns as in `rollup_models`."""

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
    """A histogram of durations of ended runs: by agent or model (`dimension`) and month, and by day.

    Buckets up to 31 are milliseconds; above, each doubling has sixteen buckets.
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
