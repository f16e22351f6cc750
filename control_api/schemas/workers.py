"""Workers: who they are, what they hold and what they have loaded."""

from __future__ import annotations

from pydantic import Field

from control_api.schemas.models import Outcome
from control_api.schemas.shape import ControlOffset, PageOf, Shape, Time, VersionText


class HeldPartition(Shape):
    """A partition that a worker reads."""

    topic: str
    partition: int
    lag: int | None = Field(description="Records not yet committed; null where unknown or not asked for.")


class WorkerStream(Shape):
    """A stream of a worker's settings."""

    name: str = Field(examples=["wine"])
    data_topic: str
    result_topic: str
    result_format: str = Field(description="`protobuf` or `json`.")
    dead_letter_topic: str
    dark_topic: str = Field(description="Results of dark versions; empty if they go nowhere.")
    entity: str = Field(description="Where a record's entity is: `record_key`, `field:<name>` or `header:<name>`.")
    route: str = Field(
        description="Where its data type is: `record_key`, `field:<name>`, `header:<name>` or `constant:<data type>`; empty if "
        "the worker does not say."
    )


class WorkerModel(Shape):
    """A version as it is on one worker."""

    data_type: str
    model: str
    version: VersionText
    control_offset: ControlOffset
    outcome: Outcome


class Worker(Shape):
    """A worker that has said that it started, or that is a member of the group."""

    id: str = Field(examples=["worker-1"])
    is_live: bool = Field(description="It is a member of its consumer group now.")
    group: str
    host: str
    address: str = Field(description="Where the brokers see it; empty if it does not live.")
    pid: int
    placement: str = Field(description="`broadcast` or `keyed`.")
    version: str = Field(description="Version of Sluice.")
    started_at: Time | None = Field(description="Null for a member that has not introduced itself.")
    metrics_url: str = Field(description="Its Prometheus metrics; empty if off.")
    streams: list[WorkerStream]
    partitions: list[HeldPartition]
    models: list[WorkerModel] = Field(description="What it scores with now, by data type.")
    errors: list[WorkerModel] = Field(description="What it refused, or retries.")


class Workers(PageOf):
    """A page of workers, by id."""

    workers: list[Worker]
    is_current: bool = Field(description="The brokers were asked just now; false during an outage.")
