"""What is sent to change the registry. Unknown members are refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from control_api.schemas.publication import Name

Text = Annotated[str, StringConstraints(max_length=4096)]
Short = Annotated[str, StringConstraints(max_length=256)]
TagName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Tags = Annotated[dict[TagName, Short], Field(max_length=100)]
VersionGiven = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,17}$")]


class Sent(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Text = Field(default="", description="Why, for the record.")


class NewModel(Sent):
    """A model to register."""

    name: Name = Field(examples=["wine-tree"])
    description: Text | None = None
    owner: Short | None = Field(default=None, description="A person or a team.")
    use_case: Short | None = None
    tags: Tags = Field(default={}, examples=[{"team": "cellar"}])


class ModelChanges(Sent):
    """What to say else about a model; what is left out stays."""

    description: Text | None = None
    owner: Short | None = None
    use_case: Short | None = None
    tags: Tags = Field(default={}, description="Replaces the tags it names; an empty text removes one.")


class PolicyGiven(Sent):
    """What versions of a model need before they may serve."""

    approvals: int = Field(default=0, ge=0, le=100, description="How many people must have approved it.")
    needs_backtest: bool = Field(default=False, description="It must have passed a back-test.")
    retire_after_seconds: int = Field(
        default=0, ge=0, le=10**9, description="Retire versions that nothing has routed to for so long; 0: never."
    )
    backtest_records: int | None = Field(
        default=None, ge=1, le=2**53, description="So many records at least must both sides have scored in it; null: 1."
    )
    backtest_disagreement: float | None = Field(
        default=None, ge=0, le=1, description="Share of them on which they may differ at most; null: any."
    )
    backtest_errors: float | None = Field(
        default=None, ge=0, le=1, description="Share of the records that the version may have failed on; null: any."
    )


class VersionChanges(Sent):
    """What to say else about a version; `stage` goes alone."""

    description: Text | None = None
    tags: Tags = Field(default={}, description="Replaces the tags it names; an empty text removes one.")
    stage: Literal["active", "retired"] | None = Field(
        default=None, description="A version that some route has in its plan cannot be retired."
    )


class ApprovalGiven(Sent):
    """A word on a version, of whoever `X-Sluice-Actor` names; a later one of the same person replaces it."""

    approved: bool = Field(description="False refuses it.")
    plan_digest: Short = Field(default="", description="Of the plan that it was shown in; empty: the version as such.")


class AliasGiven(Sent):
    """Where an alias is to point."""

    version: VersionGiven = Field(examples=["3"])
