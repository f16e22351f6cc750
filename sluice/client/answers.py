"""What the API answers, as frozen values. Members that this client does not know are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct


class Published(Struct, frozen=True, kw_only=True):
    """A descriptor is in the control log.

    Attributes:
        operation: Id of the operation that says what becomes of it.
        version: The version it got, a number as text; `None` if the API had not read it back yet.
        artifact_bytes: Size of the file; `None` where it was published by location.
    """

    operation: str
    model: str
    version: str | None = None
    data_type: str
    type: str = ""
    control_offset: int
    sha256: str = ""
    artifact_bytes: int | None = None


class Position(Struct, frozen=True, kw_only=True):
    """An offset of a data topic."""

    topic: str
    partition: int
    offset: int


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a version on one worker.

    Attributes:
        is_live: The worker is a member of its consumer group now.
        state: `pending`, `live`, `refused`, `retired`, `retrying`, `elsewhere` or `superseded`.
        reason: Why the version was refused, or is retried; else empty.
        since: First offsets that it scores there, where known.
        load_ms: Fetch, screen, load, check and warm-up; the version before scored meanwhile.
        swap_ms: Time that scoring paused for the swap.
    """

    worker: str
    is_live: bool = False
    state: str
    reason: str = ""
    problem: str = ""
    since: tuple[Position, ...] = ()
    at: datetime | None = None
    load_ms: float = 0.0
    swap_ms: float = 0.0


class Operation(Struct, frozen=True, kw_only=True):
    """What becomes of one publication, worker by worker.

    Attributes:
        state: `running`, `succeeded` or `failed`.
        message: What it waits for, or why it failed.
        version: `None` for a descriptor that was refused on its face.
        done: Live workers that have said what became of it.
        total: Live workers.
    """

    id: str
    kind: str = "publish"
    state: str
    message: str = ""
    model: str
    version: str | None = None
    data_type: str
    control_offset: int
    created_at: datetime
    done: int
    total: int
    workers: tuple[Outcome, ...] = ()


class RegisteredModel(Struct, frozen=True, kw_only=True):
    """A model name and its newest version.

    Attributes:
        serving: Data types that it serves now.
    """

    name: str
    description: str = ""
    use_case: str = ""
    type: str = ""
    data_types: tuple[str, ...] = ()
    serving: tuple[str, ...] = ()
    version_count: int = 0
    latest_version: str
    latest_status: str = ""
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0


class Tensor(Struct, frozen=True, kw_only=True):
    """One input or output; `shape` is without the batch axis, -1 is unknown."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()


class Slot(Struct, frozen=True, kw_only=True):
    """One scalar that a record supplies; no name where the model has only a vector."""

    name: str | None = None
    is_text: bool = False
    is_optional: bool = False


class Signature(Struct, frozen=True, kw_only=True):
    """What a model takes and gives, as a worker read it from the model."""

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    slots: tuple[Slot, ...] = ()


class ModelVersion(Struct, frozen=True, kw_only=True):
    """One version of a registered model.

    Attributes:
        status: `PENDING_REGISTRATION`, `READY` or `FAILED_REGISTRATION`.
        is_serving: Its data type's records are scored with it now.
        signature: `None` until a worker has loaded it.
    """

    name: str
    version: str
    status: str
    status_message: str = ""
    is_serving: bool = False
    data_type: str
    type: str = ""
    description: str = ""
    use_case: str = ""
    publisher: str = ""
    since: datetime
    control_offset: int
    source: str | None = None
    sha256: str | None = None
    artifact_bytes: int | None = None
    engine: str | None = None
    signature: Signature | None = None
    workers: tuple[Outcome, ...] = ()


class Placed(Struct, frozen=True, kw_only=True):
    """A version on a route."""

    model: str
    version: str
    type: str = ""
    description: str = ""
    control_offset: int
    since: datetime
    status: str = ""
    status_message: str = ""


class Serving(Struct, frozen=True, kw_only=True):
    """What one worker scores a data type with."""

    worker: str
    is_live: bool = False
    model: str
    version: str
    control_offset: int
    outcome: Outcome


class Route(Struct, frozen=True, kw_only=True):
    """Which version serves a data type.

    Attributes:
        key: Data type.
        serving: The newest version that was not refused; `None` if every one was.
        newest: The newest version, whatever became of it.
        stack: The versions before `serving`, newest first.
        errors: Refusals and retries of the newest version.
    """

    key: str
    serving: Placed | None = None
    newest: Placed
    stack: tuple[Placed, ...] = ()
    workers: tuple[Serving, ...] = ()
    errors: tuple[Outcome, ...] = ()


class HeldPartition(Struct, frozen=True, kw_only=True):
    """A partition that a worker reads; `lag` is in records, `None` where unknown."""

    topic: str
    partition: int
    lag: int | None = None


class Stream(Struct, frozen=True, kw_only=True):
    """A stream of a worker's settings."""

    name: str
    data_topic: str
    result_topic: str = ""
    result_format: str = ""
    dead_letter_topic: str = ""


class WorkerModel(Struct, frozen=True, kw_only=True):
    """A version as it is on one worker."""

    data_type: str
    model: str
    version: str
    control_offset: int
    outcome: Outcome


class Worker(Struct, frozen=True, kw_only=True):
    """A worker that has said that it started, or that is a member of its group.

    Attributes:
        models: What it scores with now.
        errors: What it refused, or retries.
    """

    id: str
    is_live: bool = False
    group: str = ""
    host: str = ""
    address: str = ""
    pid: int = 0
    placement: str = ""
    version: str = ""
    started_at: datetime | None = None
    metrics_url: str = ""
    streams: tuple[Stream, ...] = ()
    partitions: tuple[HeldPartition, ...] = ()
    models: tuple[WorkerModel, ...] = ()
    errors: tuple[WorkerModel, ...] = ()


class ServerEvent(Struct, frozen=True, kw_only=True):
    """One server-sent event.

    Attributes:
        kind: Name of the event; `message` where the API named none.
        data: What it carries, read from JSON.
        id: What resumes the stream behind it; `None` if it cannot be resumed there.
    """

    kind: str
    data: Any
    id: str | None = None


Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""A number that JSON may have no numeral for."""


class Blob(Struct, frozen=True, kw_only=True):
    """Bytes, in base64 and, if they are printable, as text."""

    base64: str
    text: str | None = None


class ScoreResult(Struct, frozen=True, kw_only=True):
    """One prediction and where it came from."""

    model: str
    model_version: str
    sha256: str = ""
    data_type: str
    topic: str
    partition: int
    offset: int
    control_offset: int = -1
    worker: str = ""
    record_timestamp: datetime | None = None
    prediction: Number | None = None
    label: str | None = None
    scores: tuple[Number, ...] = ()


class ResultRecord(Struct, frozen=True, kw_only=True):
    """A record of a result topic.

    Attributes:
        result: The result; `None` if the stream writes JSON, or something else.
        json_value: What a stream in JSON wrote.
        value: The bytes, where they could not be read.
    """

    topic: str
    partition: int
    offset: int
    timestamp: datetime | None = None
    key: Blob | None = None
    result: ScoreResult | None = None
    json_value: Any = None
    value: Blob | None = None


class RecordHeader(Struct, frozen=True, kw_only=True):
    """A Kafka header."""

    key: str
    value: Blob | None = None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record that could not be scored, as it came, and why."""

    topic: str
    partition: int
    offset: int
    record_timestamp: datetime | None = None
    key: Blob | None = None
    value: Blob | None = None
    headers: tuple[RecordHeader, ...] = ()
    stage: str
    reason: str
    stream: str = ""
    data_type: str = ""
    model: str = ""
    model_version: str | None = None
    worker: str = ""
    failed_at: datetime | None = None


class DeadLetterRecord(Struct, frozen=True, kw_only=True):
    """A record of a dead-letter topic; `dead_letter` is `None` if its bytes are none."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime | None = None
    key: Blob | None = None
    dead_letter: DeadLetter | None = None
    value: Blob | None = None


class Numbers(Struct, frozen=True, kw_only=True):
    """Counts and durations of scoring, in a window or since ever.

    Attributes:
        usage: Records given to the model.
        errors: Records that it failed on.
        duration: Time spent in scoring, ms.
        p50_ms: Median scoring time of a record.
        latency_p50_ms: Median time from a record's timestamp to its score.
        rate: Records a second.
    """

    usage: int
    errors: int = 0
    duration: float = 0.0
    min: float | None = None
    max: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    rate: float | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None


class SeriesStatistics(Numbers, frozen=True, kw_only=True):
    """Of one version for one data type."""

    name: str
    version: str
    data_type: str
    description: str = ""
    type: str = ""
    since: datetime | None = None


class Statistics(Struct, frozen=True, kw_only=True):
    """How models do.

    Attributes:
        partial: A live worker's part is missing or old: see `missing_workers`.
        dead_letters: By stage; `None` where they are not counted by what was asked for.
    """

    window: str | None = None
    as_of: datetime
    partial: bool = False
    missing_workers: tuple[str, ...] = ()
    total: Numbers
    series: tuple[SeriesStatistics, ...] = ()
    dead_letters: dict[str, int] | None = None
