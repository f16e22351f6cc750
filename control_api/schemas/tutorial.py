"""The two answers of the Lightbend model-serving tutorial, field for field."""

from __future__ import annotations

from pydantic import Field

from control_api.schemas.shape import Shape


class Processors(Shape):
    """`GetModelsResult` of the tutorial: its `models` are the data types that have a model server."""

    models: list[str] = Field(description="Data types.", examples=[["wine"]])


class TutorialState(Shape):
    """`ModelToServeStats` of the tutorial; an unknown data type gets its defaults, not an error."""

    name: str = Field(description="Model name.", examples=["wine-tree"])
    description: str
    modelType: int = Field(description="TENSORFLOW = 0, TENSORFLOWSAVED = 1, PMML = 2; -1 for another engine.")  # noqa: N815
    since: int = Field(description="When it began to serve, milliseconds since 1970 UTC.")
    usage: int = Field(description="Records scored.")
    duration: float = Field(description="Time spent in scoring in total, ms.")
    min: int = Field(description="Shortest scoring time of a record, ms; 9223372036854775807 before the first.")
    max: int = Field(description="Longest scoring time of a record, ms; -9223372036854775808 before the first.")
