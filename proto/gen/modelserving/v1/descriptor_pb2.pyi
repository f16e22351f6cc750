from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelDescriptor(_message.Message):
    __slots__ = ("name", "description", "data_type", "modeltype", "data", "location", "preprocessing", "sha256", "feature_mapping", "signature_name", "input_names", "output_names", "golden_rows", "use_case", "publisher", "request_id", "engine", "source")
    class ModelType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TENSORFLOW: _ClassVar[ModelDescriptor.ModelType]
        TENSORFLOWSAVED: _ClassVar[ModelDescriptor.ModelType]
        PMML: _ClassVar[ModelDescriptor.ModelType]
    TENSORFLOW: ModelDescriptor.ModelType
    TENSORFLOWSAVED: ModelDescriptor.ModelType
    PMML: ModelDescriptor.ModelType
    class ModelPreprocessing(_message.Message):
        __slots__ = ("width", "input", "output")
        WIDTH_FIELD_NUMBER: _ClassVar[int]
        INPUT_FIELD_NUMBER: _ClassVar[int]
        OUTPUT_FIELD_NUMBER: _ClassVar[int]
        width: int
        input: str
        output: str
        def __init__(self, width: _Optional[int] = ..., input: _Optional[str] = ..., output: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    MODELTYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    FEATURE_MAPPING_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_NAMES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NAMES_FIELD_NUMBER: _ClassVar[int]
    GOLDEN_ROWS_FIELD_NUMBER: _ClassVar[int]
    USE_CASE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    data_type: str
    modeltype: ModelDescriptor.ModelType
    data: bytes
    location: str
    preprocessing: ModelDescriptor.ModelPreprocessing
    sha256: bytes
    feature_mapping: _containers.RepeatedCompositeFieldContainer[FeatureBinding]
    signature_name: str
    input_names: _containers.RepeatedScalarFieldContainer[str]
    output_names: _containers.RepeatedScalarFieldContainer[str]
    golden_rows: _containers.RepeatedCompositeFieldContainer[GoldenRow]
    use_case: str
    publisher: str
    request_id: str
    engine: str
    source: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., data_type: _Optional[str] = ..., modeltype: _Optional[_Union[ModelDescriptor.ModelType, str]] = ..., data: _Optional[bytes] = ..., location: _Optional[str] = ..., preprocessing: _Optional[_Union[ModelDescriptor.ModelPreprocessing, _Mapping]] = ..., sha256: _Optional[bytes] = ..., feature_mapping: _Optional[_Iterable[_Union[FeatureBinding, _Mapping]]] = ..., signature_name: _Optional[str] = ..., input_names: _Optional[_Iterable[str]] = ..., output_names: _Optional[_Iterable[str]] = ..., golden_rows: _Optional[_Iterable[_Union[GoldenRow, _Mapping]]] = ..., use_case: _Optional[str] = ..., publisher: _Optional[str] = ..., request_id: _Optional[str] = ..., engine: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class FeatureBinding(_message.Message):
    __slots__ = ("feature", "field")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    feature: str
    field: str
    def __init__(self, feature: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class GoldenRow(_message.Message):
    __slots__ = ("inputs", "texts", "outputs", "labels", "tolerance")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class TextsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class OutputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.ScalarMap[str, float]
    texts: _containers.ScalarMap[str, str]
    outputs: _containers.ScalarMap[str, float]
    labels: _containers.ScalarMap[str, str]
    tolerance: float
    def __init__(self, inputs: _Optional[_Mapping[str, float]] = ..., texts: _Optional[_Mapping[str, str]] = ..., outputs: _Optional[_Mapping[str, float]] = ..., labels: _Optional[_Mapping[str, str]] = ..., tolerance: _Optional[float] = ...) -> None: ...
