"""How models do, by model, version, data type and worker. Times are in milliseconds."""

from __future__ import annotations

from pydantic import Field

from control_api.schemas.shape import Shape, Time, VersionText


class Numbers(Shape):
    """Counts and durations of scoring, of a window or since ever."""

    usage: int = Field(description="Records given to the model, the failed ones included.")
    errors: int = Field(description="Records that the model failed on.")
    duration: float = Field(description="Time spent in scoring in total, ms.")
    min: float | None = Field(description="Shortest scoring time of a record, ms; null if there was none.")
    max: float | None = Field(description="Longest scoring time of a record, ms; null if there was none.")
    p50_ms: float | None = Field(description="Median scoring time of a record.")
    p95_ms: float | None = Field(description="95th percentile of it.")
    p99_ms: float | None = Field(description="99th percentile of it.")
    latency_p50_ms: float | None = Field(description="Median time from a record's Kafka timestamp to its score.")
    latency_p95_ms: float | None = Field(description="95th percentile of it.")
    latency_p99_ms: float | None = Field(description="99th percentile of it.")
    rate: float | None = Field(description="Records a second over the window, or from the first batch to the last.")
    first_at: Time | None = Field(description="When the first batch was scored.")
    last_at: Time | None = Field(description="When the last batch was scored.")


class SeriesStatistics(Numbers):
    """Of one version for one data type."""

    name: str = Field(description="Registered model name.", examples=["wine-tree"])
    version: VersionText
    data_type: str = Field(examples=["wine"])
    description: str
    type: str = Field(description="Model type; empty for a version that the catalogue does not have.")
    since: Time | None = Field(description="When it first went live, or was published; null as for `type`.")


class Statistics(Shape):
    """An answer about statistics."""

    window: str | None = Field(description="As asked for; null for everything since ever.", examples=["5m"])
    as_of: Time
    partial: bool = Field(description="A live worker's part is missing or old: see `missing_workers`.")
    missing_workers: list[str] = Field(description="Live workers that have not written for a while.")
    total: Numbers
    series: list[SeriesStatistics] = Field(description="By model, version and data type.")
    dead_letters: dict[str, int] | None = Field(
        description="Dead letters by stage; null where they are not counted by what was asked for."
    )


class ArmNumbers(Shape):
    """What one arm had to do with the records of a decider; each is in one of `answered`, `late` and `failed`."""

    arm: str = Field(description="Its name; empty for the primary one.", examples=["challenger"])
    chosen: int = Field(description="Records whose answer is its own, or a combination that it is the first part of.")
    answered: int = Field(description="Records that it answered in time.")
    late: int = Field(description="Records that it had not answered when time was up.")
    failed: int = Field(description="Records that its model failed on, or could not be asked for.")


class DeciderNumbers(Shape):
    """Of one decider on one route; each record is in one of `decided`, `unanswered` and `undecidable`."""

    route: str = Field(description="Key of the route.", examples=["wine"])
    decider: str = Field(examples=["best_confidence"])
    records: int = Field(description="Records that were to be decided.")
    decided: int = Field(description="Records that have an answer.")
    unanswered: int = Field(description="Records for which no arm had an answer; a fallback may have scored them.")
    undecidable: int = Field(description="Records with answers that the decider could not do with.")
    p50_ms: float | None = Field(description="Median time from asking the arms to the decision of a record.")
    p95_ms: float | None = Field(description="95th percentile of it.")
    p99_ms: float | None = Field(description="99th percentile of it.")
    arms: list[ArmNumbers]


class DeciderStatistics(Shape):
    """An answer about deciders."""

    window: str | None = Field(description="As asked for; null for everything since ever.", examples=["5m"])
    as_of: Time
    partial: bool = Field(description="A live worker's part is missing or old: see `missing_workers`.")
    missing_workers: list[str] = Field(description="Live workers that have not written for a while.")
    deciders: list[DeciderNumbers] = Field(description="By route and decider.")


class WorkerStatisticsShape(Shape):
    """Of one worker, all its starts together."""

    worker: str
    is_live: bool
    written_at: Time = Field(description="When it last wrote its statistics.")
    total: Numbers
    series: list[SeriesStatistics]
    dead_letters: dict[str, int] = Field(description="Dead letters by stage.")


class AllWorkerStatistics(Shape):
    """Of each worker."""

    window: str | None = Field(examples=["5m"])
    as_of: Time
    partial: bool
    missing_workers: list[str]
    workers: list[WorkerStatisticsShape]
