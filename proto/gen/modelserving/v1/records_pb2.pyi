from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreResult(_message.Message):
    __slots__ = ("model", "model_version", "sha256", "data_type", "topic", "partition", "offset", "control_offset", "worker", "record_timestamp_ms", "arm", "route", "reason", "supersedes", "decider", "prediction", "label", "scores")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[ScoreResult.Reason]
        REASON_PRIMARY: _ClassVar[ScoreResult.Reason]
        REASON_ARM: _ClassVar[ScoreResult.Reason]
        REASON_PIN: _ClassVar[ScoreResult.Reason]
        REASON_RULE: _ClassVar[ScoreResult.Reason]
        REASON_FALLBACK: _ClassVar[ScoreResult.Reason]
        REASON_DARK: _ClassVar[ScoreResult.Reason]
        REASON_DECIDED: _ClassVar[ScoreResult.Reason]
        REASON_CORRECTED: _ClassVar[ScoreResult.Reason]
    REASON_UNSPECIFIED: ScoreResult.Reason
    REASON_PRIMARY: ScoreResult.Reason
    REASON_ARM: ScoreResult.Reason
    REASON_PIN: ScoreResult.Reason
    REASON_RULE: ScoreResult.Reason
    REASON_FALLBACK: ScoreResult.Reason
    REASON_DARK: ScoreResult.Reason
    REASON_DECIDED: ScoreResult.Reason
    REASON_CORRECTED: ScoreResult.Reason
    class Supersedes(_message.Message):
        __slots__ = ("correction", "model", "model_version", "control_offset")
        CORRECTION_FIELD_NUMBER: _ClassVar[int]
        MODEL_FIELD_NUMBER: _ClassVar[int]
        MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
        CONTROL_OFFSET_FIELD_NUMBER: _ClassVar[int]
        correction: str
        model: str
        model_version: int
        control_offset: int
        def __init__(self, correction: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[int] = ..., control_offset: _Optional[int] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CONTROL_OFFSET_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    RECORD_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    DECIDER_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    model: str
    model_version: int
    sha256: bytes
    data_type: str
    topic: str
    partition: int
    offset: int
    control_offset: int
    worker: str
    record_timestamp_ms: int
    arm: str
    route: str
    reason: ScoreResult.Reason
    supersedes: ScoreResult.Supersedes
    decider: str
    prediction: float
    label: str
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, model: _Optional[str] = ..., model_version: _Optional[int] = ..., sha256: _Optional[bytes] = ..., data_type: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., control_offset: _Optional[int] = ..., worker: _Optional[str] = ..., record_timestamp_ms: _Optional[int] = ..., arm: _Optional[str] = ..., route: _Optional[str] = ..., reason: _Optional[_Union[ScoreResult.Reason, str]] = ..., supersedes: _Optional[_Union[ScoreResult.Supersedes, _Mapping]] = ..., decider: _Optional[str] = ..., prediction: _Optional[float] = ..., label: _Optional[str] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("topic", "partition", "offset", "record_timestamp_ms", "key", "value", "headers", "stage", "reason", "stream", "data_type", "model", "model_version", "worker", "failed_at_ms")
    class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STAGE_UNSPECIFIED: _ClassVar[DeadLetter.Stage]
        STAGE_DECODE: _ClassVar[DeadLetter.Stage]
        STAGE_FEATURES: _ClassVar[DeadLetter.Stage]
        STAGE_ROUTE: _ClassVar[DeadLetter.Stage]
        STAGE_SCORE: _ClassVar[DeadLetter.Stage]
        STAGE_RESULT: _ClassVar[DeadLetter.Stage]
    STAGE_UNSPECIFIED: DeadLetter.Stage
    STAGE_DECODE: DeadLetter.Stage
    STAGE_FEATURES: DeadLetter.Stage
    STAGE_ROUTE: DeadLetter.Stage
    STAGE_SCORE: DeadLetter.Stage
    STAGE_RESULT: DeadLetter.Stage
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORD_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    FAILED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    offset: int
    record_timestamp_ms: int
    key: bytes
    value: bytes
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    stage: DeadLetter.Stage
    reason: str
    stream: str
    data_type: str
    model: str
    model_version: int
    worker: str
    failed_at_ms: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., record_timestamp_ms: _Optional[int] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., stage: _Optional[_Union[DeadLetter.Stage, str]] = ..., reason: _Optional[str] = ..., stream: _Optional[str] = ..., data_type: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[int] = ..., worker: _Optional[str] = ..., failed_at_ms: _Optional[int] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
