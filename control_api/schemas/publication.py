"""Publishing a model: what is sent, and the plan that a dry run answers."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from control_api.schemas.shape import ControlOffset, Shape, VersionText
from model_store.core.descriptor import BUILT_IN_TYPES, NAME_PATTERN, TENSORFLOW, TENSORFLOWSAVED

Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN.pattern}$", max_length=128)]
_ALSO_CALLED = {"SAVEDMODEL": TENSORFLOWSAVED, "TENSORFLOWSAVEDMODEL": TENSORFLOWSAVED, "FROZENGRAPH": TENSORFLOW}
Mode = Literal["exact", "immediate", "none"]
_LINK = Annotated[str, StringConstraints(max_length=2048)]
_TEXT = Annotated[str, StringConstraints(max_length=4096)]
_SHORT = Annotated[str, StringConstraints(max_length=256)]


class PublicationFields(BaseModel):
    """What is published, besides the file itself. Unknown members are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "data_type": "wine",
                    "type": "PMML",
                    "source": "https://models.example.org/wine/tree.pmml",
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "description": "Decision tree, trained in March",
                    "publisher": "ada",
                }
            ]
        },
    )

    data_type: Name = Field(description="The data type (route key) that the model serves from now on.")
    type: str | None = Field(
        default=None,
        pattern="^[A-Za-z][A-Za-z0-9._-]{0,63}$",
        description="`TENSORFLOW`, `TENSORFLOWSAVED`, `PMML` (in any case), or the name of another engine. "
        "Left out: found by looking at the file; required with `source`.",
    )
    source: str | None = Field(
        default=None,
        max_length=2048,
        pattern=r"^(file|https?)://[!-~]+$",
        description="Where the artifact is, instead of a file: `file:` or `http(s):`, within what the workers allow.",
    )
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-fA-F]{64}$",
        description="Digest of the artifact; required with `source`, checked with a file.",
    )
    description: _TEXT = Field(default="", description="A sentence for people.")
    use_case: _SHORT = Field(default="", description="The business use case that the model belongs to.")
    publisher: _SHORT = Field(default="", description="Who publishes it.")
    feature_mapping: dict[_SHORT, _SHORT] | None = Field(
        default=None,
        max_length=4096,
        description="Record field for each feature of the model: `{feature: field}`, in the model's order. In a form: "
        "a JSON object as text. Where the model has only a vector, the features are `0`, `1`, ...",
    )
    signature_name: _SHORT = Field(default="", description="SavedModel signature; empty: `serving_default`.")
    input_names: list[_SHORT] = Field(
        default=[],
        max_length=256,
        description="Input tensors of a frozen graph. In a form: repeated or comma-separated.",
    )
    output_names: list[_SHORT] = Field(
        default=[], max_length=256, description="Output tensors of a frozen graph. In a form: as `input_names`."
    )

    mode: Mode = Field(
        default="exact",
        description="How the data type is turned to it. `exact`: on every partition at a promised offset, on all workers, or "
        "not at all. `immediate`: each worker when it has loaded it. `none`: it is only registered.",
    )
    references: dict[_SHORT, _LINK] | None = Field(
        default=None,
        max_length=64,
        description="Where it comes from: `training_data`, `code`, `run_id`, `environment` and whatever else. In a form: a "
        "JSON object as text.",
    )
    reason: _TEXT = Field(default="", description="Why it is published, for the record.")
    deadline_seconds: float | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="An exact change that is not done by then is given up, and the version before serves on; 120 by default.",
    )

    @field_validator("type")
    @classmethod
    def _built_in_in_capitals(cls, value: str | None) -> str | None:
        if value is None:
            return None
        plain = re.sub("[-_]", "", value.upper())
        plain = _ALSO_CALLED.get(plain, plain)
        return plain if plain in BUILT_IN_TYPES else value

    @model_validator(mode="after")
    def _type_with_source(self) -> Self:
        if self.source is not None and self.type is None:
            raise ValueError("type is required with source: the API does not fetch the artifact to look at it")
        return self


class Replaced(Shape):
    """What serves the data type before."""

    model: str = Field(description="Registered model name.")
    version: VersionText


class PublicationPlan(Shape):
    """What a publication would do (`?dry_run=true`); nothing was written."""

    dry_run: bool = Field(description="Always true.")
    model: str = Field(description="Registered model name.")
    version: VersionText = Field(description="The version it would get, if nothing else is published before.")
    data_type: str = Field(description="The data type that it would serve.")
    type: str = Field(description="Model type, as given or as found in the file.")
    sha256: str = Field(description="Digest of the artifact, hexadecimal.")
    artifact_bytes: int | None = Field(description="Size of the file; null with `source`.")
    source: str | None = Field(description="Where the artifact is; null with a file.")
    replaces: Replaced | None = Field(description="What serves the data type now.")
    mode: Mode = Field(description="See `Published.mode`.")


class Published(Shape):
    """A version was written to the control log; the operation says what becomes of it."""

    operation: str | None = Field(description="Operation id; null where it was only registered.", examples=["op-42"])
    model: str = Field(description="Registered model name.", examples=["wine-tree"])
    version: VersionText | None = Field(
        description="The version it got; null if this replica has not read the record back in time."
    )
    data_type: str = Field(description="The data type that it serves from now on.", examples=["wine"])
    type: str = Field(description="Model type, as given or as found in the file.", examples=["PMML"])
    control_offset: ControlOffset
    sha256: str = Field(description="Digest of the artifact, hexadecimal.")
    artifact_bytes: int | None = Field(description="Size of the file; null with `source`.")
    mode: Mode = Field(
        description="As asked for; `immediate` instead of `exact` where no worker lives that could promise an offset."
    )
