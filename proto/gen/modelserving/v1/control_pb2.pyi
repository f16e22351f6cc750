import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerStarted(_message.Message):
    __slots__ = ("worker", "epoch", "host", "pid", "placement", "group", "streams", "metrics_url", "started_at", "version")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    METRICS_URL_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    worker: str
    epoch: str
    host: str
    pid: int
    placement: str
    group: str
    streams: _containers.RepeatedCompositeFieldContainer[Stream]
    metrics_url: str
    started_at: _timestamp_pb2.Timestamp
    version: str
    def __init__(self, worker: _Optional[str] = ..., epoch: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., placement: _Optional[str] = ..., group: _Optional[str] = ..., streams: _Optional[_Iterable[_Union[Stream, _Mapping]]] = ..., metrics_url: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("name", "data_topic", "result_topic", "result_format", "dead_letter_topic", "dark_topic", "entity", "route")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_TOPIC_FIELD_NUMBER: _ClassVar[int]
    RESULT_TOPIC_FIELD_NUMBER: _ClassVar[int]
    RESULT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_TOPIC_FIELD_NUMBER: _ClassVar[int]
    DARK_TOPIC_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    data_topic: str
    result_topic: str
    result_format: str
    dead_letter_topic: str
    dark_topic: str
    entity: str
    route: str
    def __init__(self, name: _Optional[str] = ..., data_topic: _Optional[str] = ..., result_topic: _Optional[str] = ..., result_format: _Optional[str] = ..., dead_letter_topic: _Optional[str] = ..., dark_topic: _Optional[str] = ..., entity: _Optional[str] = ..., route: _Optional[str] = ...) -> None: ...

class PartitionsClaimed(_message.Message):
    __slots__ = ("worker", "epoch", "claim", "group", "partitions", "turn")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    worker: str
    epoch: str
    claim: str
    group: str
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionOffset]
    turn: int
    def __init__(self, worker: _Optional[str] = ..., epoch: _Optional[str] = ..., claim: _Optional[str] = ..., group: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[PartitionOffset, _Mapping]]] = ..., turn: _Optional[int] = ...) -> None: ...

class ChangeReady(_message.Message):
    __slots__ = ("worker", "epoch", "change", "problem", "reason")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    worker: str
    epoch: str
    change: int
    problem: str
    reason: str
    def __init__(self, worker: _Optional[str] = ..., epoch: _Optional[str] = ..., change: _Optional[int] = ..., problem: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CutsPromised(_message.Message):
    __slots__ = ("worker", "change", "claim", "group", "cuts")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    change: int
    claim: str
    group: str
    cuts: _containers.RepeatedCompositeFieldContainer[PartitionOffset]
    def __init__(self, worker: _Optional[str] = ..., change: _Optional[int] = ..., claim: _Optional[str] = ..., group: _Optional[str] = ..., cuts: _Optional[_Iterable[_Union[PartitionOffset, _Mapping]]] = ...) -> None: ...

class RouteApplied(_message.Message):
    __slots__ = ("worker", "change", "key", "claim", "group", "since")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    worker: str
    change: int
    key: str
    claim: str
    group: str
    since: _containers.RepeatedCompositeFieldContainer[PartitionOffset]
    def __init__(self, worker: _Optional[str] = ..., change: _Optional[int] = ..., key: _Optional[str] = ..., claim: _Optional[str] = ..., group: _Optional[str] = ..., since: _Optional[_Iterable[_Union[PartitionOffset, _Mapping]]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("schema", "state")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    schema: str
    state: bytes
    def __init__(self, schema: _Optional[str] = ..., state: _Optional[bytes] = ...) -> None: ...

class ModelReport(_message.Message):
    __slots__ = ("worker", "epoch", "control_offset", "model", "model_version", "data_type", "state", "reason", "problem", "since", "at", "load_ms", "swap_ms", "signature", "sha256", "engine", "artifact_bytes")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ModelReport.State]
        STATE_LIVE: _ClassVar[ModelReport.State]
        STATE_REFUSED: _ClassVar[ModelReport.State]
        STATE_RETIRED: _ClassVar[ModelReport.State]
        STATE_RETRYING: _ClassVar[ModelReport.State]
        STATE_ELSEWHERE: _ClassVar[ModelReport.State]
    STATE_UNSPECIFIED: ModelReport.State
    STATE_LIVE: ModelReport.State
    STATE_REFUSED: ModelReport.State
    STATE_RETIRED: ModelReport.State
    STATE_RETRYING: ModelReport.State
    STATE_ELSEWHERE: ModelReport.State
    WORKER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CONTROL_OFFSET_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    SWAP_MS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_BYTES_FIELD_NUMBER: _ClassVar[int]
    worker: str
    epoch: str
    control_offset: int
    model: str
    model_version: int
    data_type: str
    state: ModelReport.State
    reason: str
    problem: str
    since: _containers.RepeatedCompositeFieldContainer[PartitionOffset]
    at: _timestamp_pb2.Timestamp
    load_ms: float
    swap_ms: float
    signature: ModelSignature
    sha256: bytes
    engine: str
    artifact_bytes: int
    def __init__(self, worker: _Optional[str] = ..., epoch: _Optional[str] = ..., control_offset: _Optional[int] = ..., model: _Optional[str] = ..., model_version: _Optional[int] = ..., data_type: _Optional[str] = ..., state: _Optional[_Union[ModelReport.State, str]] = ..., reason: _Optional[str] = ..., problem: _Optional[str] = ..., since: _Optional[_Iterable[_Union[PartitionOffset, _Mapping]]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., load_ms: _Optional[float] = ..., swap_ms: _Optional[float] = ..., signature: _Optional[_Union[ModelSignature, _Mapping]] = ..., sha256: _Optional[bytes] = ..., engine: _Optional[str] = ..., artifact_bytes: _Optional[int] = ...) -> None: ...

class PartitionOffset(_message.Message):
    __slots__ = ("topic", "partition", "offset")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    offset: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ModelSignature(_message.Message):
    __slots__ = ("inputs", "outputs", "slots")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[TensorSpec]
    outputs: _containers.RepeatedCompositeFieldContainer[TensorSpec]
    slots: _containers.RepeatedCompositeFieldContainer[FeatureSlot]
    def __init__(self, inputs: _Optional[_Iterable[_Union[TensorSpec, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[TensorSpec, _Mapping]]] = ..., slots: _Optional[_Iterable[_Union[FeatureSlot, _Mapping]]] = ...) -> None: ...

class TensorSpec(_message.Message):
    __slots__ = ("name", "dtype", "shape", "categories")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    categories: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., categories: _Optional[_Iterable[str]] = ...) -> None: ...

class FeatureSlot(_message.Message):
    __slots__ = ("name", "is_text", "is_optional")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IS_TEXT_FIELD_NUMBER: _ClassVar[int]
    IS_OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    is_text: bool
    is_optional: bool
    def __init__(self, name: _Optional[str] = ..., is_text: _Optional[bool] = ..., is_optional: _Optional[bool] = ...) -> None: ...
