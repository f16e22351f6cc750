"""What the API answers, as frozen values. Members that this client does not know are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from sluice.client.plans import Plan
from sluice.client.routing import Entry, Rollout


class Published(Struct, frozen=True, kw_only=True):
    """A descriptor is in the control log.

    Attributes:
        operation: Id of the operation that says what becomes of it; `None` where it was only registered.
        version: The version it got, a number as text; `None` if the API had not read it back yet.
        artifact_bytes: Size of the file; `None` where it was published by location.
        mode: As asked for; `immediate` instead of `exact` where no worker lives that could promise an offset.
    """

    operation: str | None = None
    model: str
    version: str | None = None
    data_type: str
    type: str = ""
    control_offset: int
    sha256: str = ""
    artifact_bytes: int | None = None
    mode: str = ""


class Replaced(Struct, frozen=True, kw_only=True):
    """What serves a data type before a publication."""

    model: str
    version: str


class PublicationPlan(Struct, frozen=True, kw_only=True):
    """What a publication would do; nothing was written. See `Published`."""

    model: str
    version: str
    data_type: str
    type: str = ""
    sha256: str = ""
    artifact_bytes: int | None = None
    source: str | None = None
    replaces: Replaced | None = None
    mode: str = ""


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


class Cut(Struct, frozen=True, kw_only=True):
    """One partition of a change, as one consumer group reads it.

    Attributes:
        owner: The worker that has it now.
        cut: First offset that the new plan scores; `None` while it is not promised.
    """

    group: str = ""
    topic: str
    partition: int
    owner: str = ""
    cut: int | None = None


class Operation(Struct, frozen=True, kw_only=True):
    """What becomes of a write that takes time.

    Attributes:
        kind: `publish`, `change`, `rollout`, `backtest`, `correction` or `command`.
        state: `running`, `succeeded` or `failed`.
        phase: Of a change: `prepared` (workers load), `proposed` (partitions promise), `committed` or `aborted`.
        message: What it waits for, what was reached, or why it failed.
        key: Of the route that it changes.
        version: Of the plan's primary; `None` for what was refused on its face, and where nothing serves any more.
        deadline: When an exact change is given up.
        actor: Who asked.
        reason: Why, as they said.
        mode: `exact` or `immediate`, of a change.
        rollout: Id of the rollout that it is a step of.
        done: Of `total`: workers that have said what became of it, cuts promised, steps taken.
        ready: Workers that have everything loaded that an exact change needs.
        cuts: Of a change: its partitions and where they change, as far as it is known.
    """

    id: str
    kind: str = "publish"
    state: str
    phase: str | None = None
    message: str = ""
    key: str | None = None
    model: str = ""
    version: str | None = None
    data_type: str = ""
    control_offset: int
    created_at: datetime
    deadline: datetime | None = None
    actor: str = ""
    reason: str = ""
    mode: str | None = None
    rollout: str | None = None
    done: int = 0
    total: int = 0
    ready: tuple[str, ...] = ()
    cuts: tuple[Cut, ...] = ()
    workers: tuple[Outcome, ...] = ()


class Policy(Struct, frozen=True, kw_only=True):
    """What a version needs before it may serve; dark, it may always run.

    Attributes:
        approvals: How many people must have approved it.
        needs_backtest: It must have passed a back-test.
        retire_after_seconds: It is retired by itself when nothing has routed to it for so long; 0: never.
        backtest_records: So many records at least must both sides have scored in the back-test; `None`: 1.
        backtest_disagreement: Share of them on which they may differ at most; `None`: any.
        backtest_errors: Share of the records that the version may have failed on at most; `None`: any.
    """

    approvals: int = 0
    needs_backtest: bool = False
    retire_after_seconds: int = 0
    backtest_records: int | None = None
    backtest_disagreement: float | None = None
    backtest_errors: float | None = None


class Alias(Struct, frozen=True, kw_only=True):
    """A name that points to a version. Its revision is that of its model."""

    name: str
    alias: str
    version: str
    revision: int


class Approval(Struct, frozen=True, kw_only=True):
    """Somebody's word on a version.

    Attributes:
        approved: Or refused.
        plan_digest: Of the plan that it was shown in; empty: the version as such.
    """

    actor: str
    approved: bool
    reason: str = ""
    plan_digest: str = ""
    at: datetime
    control_offset: int


class Approvals(Struct, frozen=True, kw_only=True):
    """The latest word of each person on a version.

    Attributes:
        approved_by: Who approved it; nobody while somebody's latest word is a refusal.
        needed: How many the model's policy asks for.
    """

    name: str
    version: str
    approvals: tuple[Approval, ...] = ()
    approved_by: tuple[str, ...] = ()
    needed: int = 0
    revision: int


class RegisteredModel(Struct, frozen=True, kw_only=True):
    """A model name and its newest version.

    Attributes:
        serving: Data types that it serves now.
        latest_version: `None` before the first.
        aliases: Alias -> version.
        revision: What a change of it is decided on.
    """

    name: str
    description: str = ""
    use_case: str = ""
    type: str = ""
    data_types: tuple[str, ...] = ()
    serving: tuple[str, ...] = ()
    version_count: int = 0
    latest_version: str | None = None
    latest_status: str | None = None
    owner: str = ""
    tags: dict[str, str] = {}  # msgspec copies an empty default
    aliases: dict[str, str] = {}
    policy: Policy = Policy()
    revision: int = -1
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
        stage: `active`, `retired` or `deleted`; only an active version can be routed to.
        stage_reason: Why it is not active.
        aliases: That name it.
        owner: Of the model.
        references: Where it comes from: `training_data`, `code`, `run_id`, `environment` and whatever else.
        backtest: Operation id of the last back-test that it passed.
        routes: Keys of the routes whose plan has it, dark or not.
        revision: What a change of what is said about it is decided on.
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
    stage: str = "active"
    stage_reason: str = ""
    tags: dict[str, str] = {}  # msgspec copies an empty default
    aliases: tuple[str, ...] = ()
    owner: str = ""
    references: dict[str, str] = {}
    approvals: tuple[Approval, ...] = ()
    backtest: str | None = None
    routes: tuple[str, ...] = ()
    revision: int = -1
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
    """What serves a data type.

    Attributes:
        key: A data type, a pattern such as `wine-*`, or `*` for any.
        plan: What it serves, as the control log says; `None` if nothing.
        revision: What a change of it is decided on.
        change: The exact change that is under way.
        rollout: The rollout that is under way.
        serving: The primary; after an immediate change the newest one that was not refused.
        newest: The newest primary, whatever became of it; `None` before the first.
        stack: The versions before `serving`, newest first.
        errors: Refusals and retries of the newest version.
        entries: What it was given to serve, newest first; `more_entries` if there are older ones.
    """

    key: str
    plan: Plan | None = None
    revision: int = -1
    change: Operation | None = None
    rollout: Rollout | None = None
    serving: Placed | None = None
    newest: Placed | None = None
    stack: tuple[Placed, ...] = ()
    workers: tuple[Serving, ...] = ()
    errors: tuple[Outcome, ...] = ()
    entries: tuple[Entry, ...] = ()
    more_entries: bool = False


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
