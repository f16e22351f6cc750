"""Registered models and their versions, in MLflow's nouns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from control_api.schemas.shape import ControlOffset, EpochMs, PageOf, Revision, Shape, Time, VersionText

Status = Literal["PENDING_REGISTRATION", "READY", "FAILED_REGISTRATION"]
OutcomeState = Literal["pending", "live", "refused", "retired", "retrying", "elsewhere", "superseded"]


class Position(Shape):
    """An offset of a data topic."""

    topic: str
    partition: int
    offset: int


class Outcome(Shape):
    """What became of a version on one worker."""

    worker: str = Field(description="Worker id.")
    is_live: bool = Field(description="The worker is a member of its consumer group now.")
    state: OutcomeState = Field(
        description="`live`: scores with it. `refused`: for good, see `reason`; the version before serves on. "
        "`retired`: replaced and closed. `retrying`: could not load it yet. `elsewhere`: placed on other workers. "
        "`pending`: has not said anything yet. `superseded`: went on to a newer version at once."
    )
    reason: str = Field(description="Why it was refused or is retried; else empty.")
    problem: str = Field(
        description="Kind of refusal: `damaged`, `hostile`, `unsupported`, `limit`, `signature`, `integrity`, "
        "`unavailable`; else empty."
    )
    since: list[Position] = Field(description="First offsets that it scores on this worker, where known.")
    at: Time | None = Field(description="When the worker said so; null while pending.")
    load_ms: float = Field(description="Fetch, screen, load, check and warm-up; the version before scored meanwhile.")
    swap_ms: float = Field(description="Time that scoring paused for the swap.")


class Tensor(Shape):
    """One input or output."""

    name: str
    dtype: Literal["float32", "float64", "int32", "int64", "bool", "string"]
    shape: list[int] = Field(description="Without the batch axis; -1 is unknown.")
    categories: list[str] = Field(description="Values that it may take; empty if free.")


class Slot(Shape):
    """One scalar that a record supplies."""

    name: str | None = Field(description="Feature name; null where the model has only a vector.")
    is_text: bool
    is_optional: bool = Field(description="The model says itself what a missing value means.")


class ModelSignature(Shape):
    """What a model takes and gives, as a worker read it from the model."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    slots: list[Slot] = Field(description="The features of a record, in the model's order.")


class Binding(Shape):
    """One entry of a feature mapping."""

    feature: str
    field: str


Stage = Literal["active", "retired", "deleted"]


class Approval(Shape):
    """Somebody's word on a version."""

    actor: str = Field(description="Who.")
    approved: bool = Field(description="Or refused.")
    reason: str
    plan_digest: str = Field(description="Of the plan that it was shown in; empty: the version as such.")
    at: Time
    control_offset: ControlOffset


class Approvals(Shape):
    """The latest word of each person on a version."""

    name: str
    version: VersionText
    approvals: list[Approval] = Field(description="Newest first.")
    approved_by: list[str] = Field(description="Who approved it; nobody while somebody's latest word is a refusal.")
    needed: int = Field(description="How many the model's policy asks for.")
    revision: Revision


class Policy(Shape):
    """What a version needs before it may serve; dark, it may always run."""

    approvals: int = Field(description="How many people must have approved it.")
    needs_backtest: bool = Field(description="It must have passed a back-test.")
    retire_after_seconds: int = Field(
        description="A version that nothing has routed to for so long is retired by itself; 0: never."
    )
    backtest_records: int | None = Field(
        default=None, description="So many records at least must both sides have scored in it; null: 1."
    )
    backtest_disagreement: float | None = Field(
        default=None, description="Share of them on which they may differ at most; null: any."
    )
    backtest_errors: float | None = Field(
        default=None, description="Share of the records that the version may have failed on; null: any."
    )


class Alias(Shape):
    """A name that points to a version."""

    name: str = Field(description="Registered model name.", examples=["wine-tree"])
    alias: str = Field(examples=["champion"])
    version: VersionText
    revision: Revision


class ModelVersion(Shape):
    """One version of a registered model. Its content never changes; what people say about it may."""

    name: str = Field(examples=["wine-tree"])
    version: VersionText
    status: Status = Field(description="`READY`: served by some worker once. `FAILED_REGISTRATION`: refused.")
    status_message: str = Field(description="Why it failed, or what it waits for; else empty.")
    is_serving: bool = Field(description="It is what its data type's records are scored with now.")
    data_type: str = Field(examples=["wine"])
    type: str = Field(description="Model type.", examples=["PMML"])
    description: str
    use_case: str
    publisher: str
    creation_timestamp: EpochMs
    last_updated_timestamp: EpochMs
    since: Time = Field(description="When it was published.")
    control_offset: ControlOffset
    request_id: str = Field(description="Identifies the act of publishing.")
    source: str | None = Field(description="Where the artifact is; null where it is in the control log.")
    sha256: str | None = Field(description="Digest of the artifact; null where none was announced.")
    artifact_bytes: int | None = Field(description="Size of the artifact, where known.")
    engine: str | None = Field(description="Engine and version that loaded it, where known.")
    signature: ModelSignature | None = Field(description="Null until a worker has loaded it.")
    signature_name: str
    input_names: list[str]
    output_names: list[str]
    feature_mapping: list[Binding]
    stage: Stage = Field(description="Only an `active` version can be routed to.")
    stage_reason: str = Field(description="Why it is not active.")
    tags: dict[str, str]
    aliases: list[str] = Field(description="Aliases that name it.")
    owner: str = Field(description="Of the model.")
    references: dict[str, str] = Field(
        description="Where it comes from: `training_data`, `code`, `run_id`, `environment` and whatever else."
    )
    approvals: list[Approval] = Field(description="The latest word of each person, newest first.")
    backtest: str | None = Field(description="Operation id of the last back-test that it passed.", examples=["op-41"])
    routes: list[str] = Field(description="Keys of the routes whose plan has it, dark or not.")
    revision: Revision
    workers: list[Outcome] = Field(description="What became of it on each worker that lives or has reported.")


class RegisteredModel(Shape):
    """A model name and its newest version."""

    name: str = Field(examples=["wine-tree"])
    description: str = Field(description="Of the newest version, if nobody gave it one of its own.")
    use_case: str = Field(description="The same way.")
    type: str = Field(description="Of the newest version.")
    data_types: list[str] = Field(description="Data types that any of its versions was published for.")
    serving: list[str] = Field(description="Data types that it serves now.")
    version_count: int
    latest_version: VersionText | None = Field(description="Null before the first.")
    latest_status: Status | None
    owner: str = Field(description="A person or a team.")
    tags: dict[str, str]
    aliases: dict[str, VersionText] = Field(description="Alias -> version.")
    policy: Policy
    revision: Revision
    creation_timestamp: EpochMs
    last_updated_timestamp: EpochMs


class RegisteredModels(PageOf):
    """A page of models."""

    registered_models: list[RegisteredModel]


class ModelVersions(PageOf):
    """A page of versions."""

    model_versions: list[ModelVersion]
