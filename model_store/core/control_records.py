"""What is on the control log, as values: announcements, workers that started, and what became of models on them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from model_store.core.descriptor import Descriptor
from model_store.core.signature import Signature

TYPE_HEADER: Final = "sluice-type"
"""Kafka header that names the type of a record; a record without it is a bare descriptor."""

WORKER_STARTED: Final = "worker-started"
MODEL_REPORT: Final = "model-report"


@dataclass(frozen=True, slots=True)
class Announced:
    """A descriptor that is valid on its face.

    Attributes:
        descriptor: What was announced.
        payload: The artifact, where its bytes came in the record. The fold ignores it.
    """

    descriptor: Descriptor
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class StreamDeclared:
    """A stream of a worker's settings: enough to find its records and results.

    Attributes:
        name: Name in the settings.
        data_topic: Topic of the records.
        result_topic: Topic of the results.
        result_format: `protobuf` (ScoreResult) or `json`.
        dead_letter_topic: Topic of the dead letters.
    """

    name: str
    data_topic: str
    result_topic: str
    result_format: str
    dead_letter_topic: str


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker has read the log and says what it is.

    Attributes:
        worker: Stable where configured, else unique for each start.
        epoch: Unique for each start of a process.
        host: Host name.
        pid: Process id.
        placement: `broadcast` or `keyed`.
        group: Consumer group; a worker lives while it is a member of it.
        streams: The streams it serves.
        metrics_url: Where its Prometheus metrics are; empty if off.
        started_at_ms: Milliseconds since 1970 UTC.
        version: Version of Sluice.
    """

    worker: str
    epoch: str
    host: str = ""
    pid: int = 0
    placement: str = "broadcast"
    group: str = ""
    streams: tuple[StreamDeclared, ...] = ()
    metrics_url: str = ""
    started_at_ms: int = 0
    version: str = ""


class ModelState(Enum):
    """What became of one version on one worker. See `proto/modelserving/v1/control.proto`."""

    LIVE = "live"
    REFUSED = "refused"
    RETIRED = "retired"
    RETRYING = "retrying"
    ELSEWHERE = "elsewhere"

    @property
    def is_final(self) -> bool:
        """The worker waits for nothing more to say so; only `RETRYING` is not final."""
        return self is not ModelState.RETRYING


@dataclass(frozen=True, slots=True)
class PartitionOffset:
    """A position in a data topic."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What became of one descriptor on one worker.

    Attributes:
        worker: The worker.
        epoch: Which start of it; see `WorkerStarted.epoch`.
        control_offset: Control-log offset of the descriptor.
        model: Registered model name.
        model_version: As every reader of the log counts it.
        data_type: The data type it serves.
        state: What happened.
        reason: A sentence that the publisher can act on; empty if all is well.
        problem: `damaged`, `hostile`, `unsupported`, `limit`, `signature`, `integrity`, `unavailable`, or empty.
        since: First offsets that this version scores on this worker, for each partition it holds, where known.
        at_ms: When it happened, milliseconds since 1970 UTC.
        load_ms: Fetch, screen, load, check and warm-up, in milliseconds.
        swap_ms: Time that the scoring thread spent on the swap, in milliseconds.
        signature: What the model takes and gives, where it was loaded.
        sha256: Digest of the artifact, 32 bytes; empty where it was never had.
        engine: Engine and version.
        artifact_bytes: Size of the artifact in bytes.
    """

    worker: str
    epoch: str
    control_offset: int
    model: str
    model_version: int
    data_type: str
    state: ModelState
    reason: str = ""
    problem: str = ""
    since: tuple[PartitionOffset, ...] = ()
    at_ms: int = 0
    load_ms: float = 0.0
    swap_ms: float = 0.0
    signature: Signature | None = None
    sha256: bytes = b""
    engine: str = ""
    artifact_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Invalid:
    """A record that was meant as a descriptor and is none: it changes no route and takes no version.

    Attributes:
        reason: A sentence that the publisher can act on.
        name: Model name, where it could be read.
        data_type: Data type, where it could be read.
        request_id: Request id, where it could be read.
    """

    reason: str
    name: str = ""
    data_type: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record that this version cannot read, and passes over.

    Attributes:
        record_type: What the type header says.
    """

    record_type: str


ControlRecord = Announced | WorkerStarted | ModelReport | Invalid | Unknown
