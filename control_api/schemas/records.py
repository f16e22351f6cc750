"""Results and dead letters as they are on their topics, decoded."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from control_api.schemas.shape import Shape, Time, VersionText
from control_api.schemas.workers import WorkerStream

Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""JSON has no numbers for what is not finite; these words are protobuf's JSON mapping."""


class Blob(Shape):
    """Bytes."""

    base64: str = Field(description="RFC 4648, section 4.")
    text: str | None = Field(description="The same as text, if it is printable UTF-8.")


class SourceRecord(Shape):
    """Where a record is."""

    topic: str
    partition: int
    offset: int
    timestamp: Time | None = Field(description="Of the Kafka record; null if it has none.")
    key: Blob | None


Reason = Literal[
    "unspecified", "primary", "arm", "pin", "rule", "fallback", "dark", "decided", "corrected"
]  # fmt: skip


class Superseded(Shape):
    """The result that a correction takes the place of."""

    correction: str = Field(description="Id of the correction.")
    model: str
    model_version: VersionText
    control_offset: int


class ScoreResult(Shape):
    """One prediction and where it came from."""

    model: str
    model_version: VersionText
    sha256: str = Field(description="Digest of the model's artifact, hexadecimal.")
    data_type: str
    topic: str = Field(description="Topic of the scored record.")
    partition: int
    offset: int
    control_offset: int = Field(
        description="What asked for the plan that chose this version: `op-<it>` is its operation."
    )
    worker: str
    arm: str = Field(description="Arm of the plan; empty for the primary.")
    route: str = Field(description="Key of the route that chose it.")
    reason: Reason = Field(description="Why this version scored it; `unspecified` where there was nothing to choose.")
    decider: str | None = Field(description="What chose among several results; null where one arm scored.")
    supersedes: Superseded | None = Field(description="Of a correction.")
    record_timestamp: Time | None
    prediction: Number | None = Field(description="The value of a model with one numeric output.")
    label: str | None = Field(description="The class, cluster or category.")
    scores: list[Number] = Field(description="Elements of a vector output, or the outputs of a model with several.")


class ResultRecord(SourceRecord):
    """A record of a result topic."""

    result: ScoreResult | None = Field(description="Of a stream in protobuf; null if the bytes are none.")
    json_value: Any = Field(default=None, description="Of a stream in JSON: the value as it was written.")
    value: Blob | None = Field(default=None, description="The bytes, where they could not be read.")


class RecordHeader(Shape):
    """A Kafka header."""

    key: str
    value: Blob | None


class DeadLetter(Shape):
    """A record that could not be scored, as it came."""

    topic: str = Field(description="Topic of the record.")
    partition: int
    offset: int
    record_timestamp: Time | None
    key: Blob | None
    value: Blob | None = Field(description="Null for a tombstone.")
    headers: list[RecordHeader]
    stage: Literal["unspecified", "decode", "features", "route", "score", "result"]
    reason: str
    stream: str
    data_type: str
    model: str
    model_version: VersionText | None
    worker: str
    failed_at: Time


class DeadLetterRecord(SourceRecord):
    """A record of a dead-letter topic."""

    dead_letter: DeadLetter | None = Field(description="Null if the bytes are none.")
    value: Blob | None = Field(default=None, description="The bytes, where they could not be read.")


class LastResults(Shape):
    """The newest results, oldest first."""

    results: list[ResultRecord]
    cursor: str = Field(description="Send it as `Last-Event-ID`, or as `after`, to follow from here.")


class LastDeadLetters(Shape):
    """The newest dead letters, oldest first."""

    dead_letters: list[DeadLetterRecord]
    cursor: str = Field(description="Send it as `Last-Event-ID`, or as `after`, to follow from here.")


class Stream(WorkerStream):
    """A stream, as its workers declare it."""

    workers: list[str] = Field(description="Workers that serve it and live.")


class Streams(Shape):
    """All streams."""

    streams: list[Stream]
