"""Jobs: records that are scored again, beside the stream."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from control_api.schemas.registry import Sent, VersionGiven
from control_api.schemas.shape import ControlOffset, PageOf, Shape, Time, VersionText

JobStateWord = Literal["queued", "running", "succeeded", "failed", "cancelled"]
_Offset = Annotated[int, Field(ge=0, le=2**63 - 1)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_Speed = Annotated[int, Field(ge=1, le=10_000_000, description="At most so fast.")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class JobVersionGiven(_Part):
    """A version, by its number or by an alias as it is now; one of the two."""

    model: _Name = Field(examples=["wine-tree"])
    version: VersionGiven | None = None
    alias: _Name | None = None

    @model_validator(mode="after")
    def _one_of(self) -> JobVersionGiven:
        if (self.version is None) == (self.alias is None):
            raise ValueError("give either `version` or `alias`")
        return self


class RangeGiven(_Part):
    """Records of one partition of the data topic."""

    partition: int = Field(ge=0, le=2**31 - 1)
    first: _Offset = Field(alias="from", description="Offset of the first record.")
    end: _Offset = Field(alias="to", description="Offset after the last one.")


class PassIfGiven(_Part):
    """What the back-test must keep to be passed."""

    max_disagreement: float | None = Field(
        default=None, ge=0, le=1, description="Share of the records that both sides scored on which they may differ."
    )
    max_error_rate: float | None = Field(default=None, ge=0, le=1, description="Share that the candidate may fail on.")
    min_records: int = Field(default=1, ge=1, description="So many must have been scored by both sides.")


class BacktestGiven(Sent):
    """Retained records to score with a candidate, and what to compare it with."""

    stream: _Name = Field(description="Stream of the workers' settings.", examples=["wine"])
    data_type: _Name | None = Field(default=None, description="Only records of this data type.")
    candidate: JobVersionGiven
    baseline: Literal["recorded"] | JobVersionGiven = Field(
        default="recorded",
        description="`recorded`: the live results; or another version, which scores the records too.",
    )
    ranges: list[RangeGiven] | None = Field(default=None, min_length=1, max_length=10_000)
    from_time: str | None = Field(default=None, description="RFC 3339; with `to_time`, instead of `ranges`.")
    to_time: str | None = Field(default=None, description="RFC 3339, exclusive.")
    segment_by: _Name | None = Field(default=None, description="Field to compare by as well.")
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Numbers this near are the same.")
    max_records: int | None = Field(default=None, ge=1)
    records_per_second: _Speed = 2_000
    pass_if: PassIfGiven | None = Field(
        default=None, description="Without it there is no verdict, and no policy is met."
    )

    @model_validator(mode="after")
    def _which_records(self) -> BacktestGiven:
        times = (self.from_time is not None, self.to_time is not None)
        if (self.ranges is None) != all(times) or any(times) != all(times):
            raise ValueError("give either `ranges`, or `from_time` and `to_time`")
        return self


class CorrectionGiven(Sent):
    """Results that no longer hold, and the version to replace them by."""

    key: _Name = Field(description="The route that had the bad version.", examples=["wine"])
    bad: JobVersionGiven
    good: JobVersionGiven | None = Field(default=None, description="Left out: what the route serves now.")
    stream: _Name | None = Field(default=None, description="Left out: the only one that workers have.")
    records_per_second: _Speed = 2_000


class JobVersion(Shape):
    """A version."""

    model: str
    version: VersionText


class Job(Shape):
    """A back-test or a correction."""

    id: str
    operation: str = Field(examples=["op-42"])
    kind: Literal["backtest", "correction"]
    state: JobStateWord
    message: str = Field(description="What it waits for, how far it is, or why it failed.")
    stream: str
    about: JobVersion | None = Field(description="The candidate, or the good version.")
    job: dict[str, Any] = Field(description="What is to be done, as workers read it.")
    worker: str = Field(description="Who has it, or had it last.")
    verdict: Literal["passed", "failed"] | None = Field(description="Of a back-test with `pass_if`.")
    report: dict[str, Any] | None = Field(description="Its last report; how far it is while it runs.")
    actor: str
    reason: str
    requested_at: Time
    updated_at: Time
    control_offset: ControlOffset


class Jobs(PageOf):
    """A page of jobs, newest first."""

    jobs: list[Job]
