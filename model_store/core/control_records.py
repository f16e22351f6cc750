"""What is on the control log, as values: announcements, commands, and what workers say of themselves.

A worker writes: that it started; what became of each model on it; that it owns partitions; that it is ready for a change
of a route; where it promises to change; where it did change when nobody asked for a promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from model_store.core.commands import COMMAND, Command
from model_store.core.descriptor import Descriptor
from model_store.core.signature import Signature

TYPE_HEADER: Final = "sluice-type"
"""Kafka header that names the type of a record; a record without it is a bare descriptor."""

WORKER_STARTED: Final = "worker-started"
MODEL_REPORT: Final = "model-report"
PARTITIONS_CLAIMED: Final = "partitions-claimed"
CHANGE_READY: Final = "change-ready"
CUTS_PROMISED: Final = "cuts-promised"
ROUTE_APPLIED: Final = "route-applied"
SNAPSHOT: Final = "snapshot"

__all__ = [
    "CHANGE_READY",
    "COMMAND",
    "CUTS_PROMISED",
    "MODEL_REPORT",
    "PARTITIONS_CLAIMED",
    "ROUTE_APPLIED",
    "SNAPSHOT",
    "TYPE_HEADER",
    "WORKER_STARTED",
    "Announced",
    "ChangeReady",
    "Command",
    "ControlRecord",
    "CutsPromised",
    "Invalid",
    "ModelReport",
    "ModelState",
    "PartitionOffset",
    "PartitionsClaimed",
    "RouteApplied",
    "Snapshot",
    "StreamDeclared",
    "Unknown",
    "WorkerStarted",
]


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
        dark_topic: Topic of the results of dark versions.
        entity: Where a record's entity is found: `record_key`, `field:<name>` or `header:<name>`.
        route: Where its data type is found: `record_key`, `field:<name>`, `header:<name>` or `constant:<data type>`.
    """

    name: str
    data_topic: str
    result_topic: str
    result_format: str
    dead_letter_topic: str
    dark_topic: str = ""
    entity: str = "record_key"
    route: str = ""


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
class PartitionsClaimed:
    """From here on a worker owns partitions in the eyes of the log; before it has read this back, it scores nothing of them.

    Attributes:
        worker: The worker.
        epoch: Which start of it.
        claim: Unique among all claims.
        group: The consumer group that gave them to it.
        partitions: Each with the data offset that it will begin at.
        turn: Larger than that of every claim that the group's coordinator let go before it, of each of these partitions; so a
            claim that comes late counts for nothing (`lanes`). 0: not known, the log's order decides.
    """

    worker: str
    epoch: str
    claim: str
    group: str
    partitions: tuple[PartitionOffset, ...]
    turn: int = 0


@dataclass(frozen=True, slots=True)
class ChangeReady:
    """A worker has everything loaded, checked and warm that a change needs, or refuses it.

    Attributes:
        worker: The worker.
        epoch: Which start of it.
        change: Id of the change.
        problem: Empty if it is ready; else the kind of refusal, as in `ModelReport`.
        reason: A sentence that the publisher can act on; empty if it is ready.
    """

    worker: str
    epoch: str
    change: int
    problem: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CutsPromised:
    """A worker holds these lanes at these offsets until the change is over.

    Attributes:
        worker: The worker.
        change: Id of the change.
        claim: The claim under which it owns the lanes; a promise under an older claim counts for nothing.
        group: Of the lanes.
        cuts: First offset of the new plan, by partition.
    """

    worker: str
    change: int
    claim: str
    group: str
    cuts: tuple[PartitionOffset, ...]


@dataclass(frozen=True, slots=True)
class RouteApplied:
    """A worker scores lanes by an immediate change from these offsets on.

    Attributes:
        worker: The worker.
        change: Id of the change.
        key: Of the route.
        claim: The claim under which it owns the lanes.
        group: Of the lanes.
        since: First offset, by partition.
    """

    worker: str
    change: int
    key: str
    claim: str
    group: str
    since: tuple[PartitionOffset, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the fold before this record, for readers that start here; to all others it says nothing.

    Attributes:
        schema: What the state was written by (`snapshots`); a reader that knows another one ignores it.
        state: The state, compressed.
    """

    schema: str
    state: bytes


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


ControlRecord = (
    Announced
    | Command
    | WorkerStarted
    | ModelReport
    | PartitionsClaimed
    | ChangeReady
    | CutsPromised
    | RouteApplied
    | Snapshot
    | Invalid
    | Unknown
)
