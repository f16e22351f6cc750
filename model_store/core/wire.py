"""Control records on the wire: bytes in, values out, and back. The only module that knows the generated messages.

A record without the header `sluice-type` is a bare `ModelDescriptor`, as the publishers of the source systems write it.
Its enum has two dialects, chosen per topic: `sluice` (the tutorial's and flink-modelServer's) and `pmml-1` (the older
tutorial's and the speculative one's). Decoding never raises: what cannot be read is `Invalid` or `Unknown`. Fields that
this version does not know are kept in the values and written back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, cast

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from immutables import Map
from modelserving.v1 import commands_pb2, control_pb2, descriptor_pb2

from model_store.core.commands import COMMAND, Command, RegisterVersion
from model_store.core.control_records import (
    MODEL_REPORT,
    TYPE_HEADER,
    WORKER_STARTED,
    Announced,
    ChangeReady,
    ControlRecord,
    CutsPromised,
    Invalid,
    ModelReport,
    ModelState,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
    Snapshot,
    StreamDeclared,
    Unknown,
    WorkerStarted,
)
from model_store.core.descriptor import (
    DIGEST_BYTES,
    PMML,
    TENSORFLOW,
    TENSORFLOWSAVED,
    Descriptor,
    FeatureBinding,
    GoldenRow,
    Preprocessing,
    check_descriptor,
)
from model_store.core.errors import InvalidDescriptorError
from model_store.core.messages import read, write
from model_store.core.payload import contradiction
from model_store.core.signature import DType, FeatureSlot, Signature, TensorSpec
from model_store.core.unknown_fields import unknown_fields
from model_store.core.wire_commands import WORKER_RECORDS, command_body, command_message, key_of

Dialect = Literal["sluice", "pmml-1"]
"""Which enum the `modeltype` of a topic's bare descriptors is from."""

ENUMS: Final[dict[Dialect, dict[int, str]]] = {
    "sluice": {0: TENSORFLOW, 1: TENSORFLOWSAVED, 2: PMML},
    "pmml-1": {0: TENSORFLOW, 1: PMML},
}

_SHORT_BYTES: Final = 65_536
"""Above it a descriptor's payload makes another look at all of it dear."""

_EMPTY: Final[Map[str, Any]] = Map()

Headers = Iterable[tuple[str, bytes | str | None]]

_STATES: Final = {
    control_pb2.ModelReport.STATE_LIVE: ModelState.LIVE,
    control_pb2.ModelReport.STATE_REFUSED: ModelState.REFUSED,
    control_pb2.ModelReport.STATE_RETIRED: ModelState.RETIRED,
    control_pb2.ModelReport.STATE_RETRYING: ModelState.RETRYING,
    control_pb2.ModelReport.STATE_ELSEWHERE: ModelState.ELSEWHERE,
}
_STATE_NUMBERS: Final = {state: number for number, state in _STATES.items()}


@dataclass(frozen=True, slots=True)
class EncodedRecord:
    """A record as it is produced: `producer.produce(topic, record.value, record.key, headers=record.headers)`."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def decode_record(
    headers: Headers | None, key: bytes | None, value: bytes | None, dialect: Dialect = "sluice"
) -> ControlRecord:
    """Read one record of the control log. Never raises on any bytes.

    Args:
        headers: The record's Kafka headers, `None` for none.
        key: The record's key. No decision depends on it: publishers of the source systems choose it freely.
        value: The record's value; `None` is a tombstone.
        dialect: The topic's enum.
    """
    record_type = _record_type(headers)
    if record_type is None:
        return _decode_descriptor(value, dialect)
    try:
        match record_type:
            case "worker-started":
                return _worker_started(control_pb2.WorkerStarted.FromString(value or b""))
            case "model-report":
                return _model_report(control_pb2.ModelReport.FromString(value or b""))
            case "command":
                return _command(commands_pb2.Command.FromString(value or b""))
            case _ if record_type in WORKER_RECORDS:
                kind, message = WORKER_RECORDS[record_type]
                return cast(ControlRecord, read(kind, message.FromString(value or b"")))
            case _:
                return Unknown(record_type)
    except (DecodeError, _NotReadable, ValueError):
        return Unknown(f"{record_type} (damaged)")


def encode_descriptor(descriptor: Descriptor, payload: bytes | None, dialect: Dialect = "sluice") -> EncodedRecord:
    """Write an announcement: a plain `ModelDescriptor` without a type header, its key the data type.

    Args:
        descriptor: What is announced.
        payload: The artifact, exactly where `descriptor.is_inline`.
        dialect: The topic's enum.

    Raises:
        InvalidDescriptorError: The descriptor is invalid on its face, or contradicts the payload.
    """
    if descriptor.is_inline != (payload is not None):
        raise InvalidDescriptorError("a descriptor's bytes are written exactly where it has no location")
    check_descriptor(descriptor)
    if payload is not None:
        _check_payload(descriptor, payload, dialect)
    number = next((number for number, name in ENUMS[dialect].items() if name == descriptor.model_type), None)
    message = descriptor_pb2.ModelDescriptor(
        name=descriptor.name,
        description=descriptor.description,
        data_type=descriptor.data_type,
        modeltype=cast(Any, number or 0),  # An open enum: the other dialect's numbers have no name in this one.
        data=payload,
        location=descriptor.location,
        sha256=descriptor.sha256 or b"",
        signature_name=descriptor.signature_name,
        input_names=descriptor.input_names,
        output_names=descriptor.output_names,
        use_case=descriptor.use_case,
        publisher=descriptor.publisher,
        request_id=descriptor.request_id,
        engine=descriptor.model_type if number is None else "",
        source=descriptor.source,
    )
    for binding in descriptor.feature_mapping:
        _merge_unknown(message.feature_mapping.add(feature=binding.feature, field=binding.field), binding.unknown)
    for row in descriptor.golden_rows:
        golden = message.golden_rows.add(
            inputs=row.inputs, texts=row.texts, outputs=row.outputs, labels=row.labels, tolerance=row.tolerance
        )
        _merge_unknown(golden, row.unknown)
    if (hints := descriptor.preprocessing) is not None:
        message.preprocessing.SetInParent()
        message.preprocessing.width, message.preprocessing.input = hints.width, hints.input
        message.preprocessing.output = hints.output
        _merge_unknown(message.preprocessing, hints.unknown)
    value = message.SerializeToString(deterministic=True) + descriptor.unknown
    return EncodedRecord(descriptor.data_type.encode(), value, [])


def encode_worker_started(record: WorkerStarted) -> EncodedRecord:
    """Write what a worker says when it starts; its key is the worker."""
    message = control_pb2.WorkerStarted(
        worker=record.worker,
        epoch=record.epoch,
        host=record.host,
        pid=record.pid,
        placement=record.placement,
        group=record.group,
        streams=[
            control_pb2.Stream(
                name=stream.name,
                data_topic=stream.data_topic,
                result_topic=stream.result_topic,
                result_format=stream.result_format,
                dead_letter_topic=stream.dead_letter_topic,
                dark_topic=stream.dark_topic,
                entity=stream.entity,
                route=stream.route,
            )
            for stream in record.streams
        ],
        metrics_url=record.metrics_url,
        started_at=_timestamp(record.started_at_ms),
        version=record.version,
    )
    return _typed(WORKER_STARTED, record.worker, message)


def encode_model_report(record: ModelReport) -> EncodedRecord:
    """Write what became of a descriptor on a worker; its key is the worker."""
    message = control_pb2.ModelReport(
        worker=record.worker,
        epoch=record.epoch,
        control_offset=record.control_offset,
        model=record.model,
        model_version=record.model_version,
        data_type=record.data_type,
        state=_STATE_NUMBERS[record.state],
        reason=record.reason,
        problem=record.problem,
        since=[
            control_pb2.PartitionOffset(topic=at.topic, partition=at.partition, offset=at.offset) for at in record.since
        ],
        at=_timestamp(record.at_ms),
        load_ms=record.load_ms,
        swap_ms=record.swap_ms,
        signature=signature_to_proto(record.signature) if record.signature is not None else None,
        sha256=record.sha256,
        engine=record.engine,
        artifact_bytes=record.artifact_bytes,
    )
    return _typed(MODEL_REPORT, record.worker, message)


def encode_command(command: Command) -> EncodedRecord:
    """Write a command; its key is the route or the model that it is about.

    Raises:
        InvalidDescriptorError: It registers a version whose descriptor is invalid on its face, or contradicts its payload.
    """
    descriptor = None
    if isinstance(command.body, RegisterVersion):
        descriptor = encode_descriptor(command.body.descriptor, command.payload).value
    message = command_message(command, descriptor)
    return _typed(COMMAND, key_of(command), message)


def encode_worker_record(
    record: PartitionsClaimed | ChangeReady | CutsPromised | RouteApplied | Snapshot,
) -> EncodedRecord:
    """Write what a worker says of partitions and changes, or a snapshot; its key is the worker."""
    record_type = next(name for name, (kind, _) in WORKER_RECORDS.items() if isinstance(record, kind))
    message = WORKER_RECORDS[record_type][1]()
    write(record, message)
    return _typed(record_type, getattr(record, "worker", ""), message)


def signature_to_proto(signature: Signature) -> control_pb2.ModelSignature:
    """A signature as its message."""
    return control_pb2.ModelSignature(
        inputs=[_tensor_to_proto(spec) for spec in signature.inputs],
        outputs=[_tensor_to_proto(spec) for spec in signature.outputs],
        slots=[
            control_pb2.FeatureSlot(name=slot.name or "", is_text=slot.is_text, is_optional=slot.is_optional)
            for slot in signature.slots
        ],
    )


def signature_from_proto(message: control_pb2.ModelSignature) -> Signature:
    """A signature from its message. An element type of a later version is passed on as it is."""
    return Signature(
        tuple(_tensor_from_proto(spec) for spec in message.inputs),
        tuple(_tensor_from_proto(spec) for spec in message.outputs),
        tuple(FeatureSlot(slot.name or None, slot.is_text, slot.is_optional) for slot in message.slots),
    )


@lru_cache(maxsize=1_000)
def _signature(encoded: bytes) -> Signature:
    """The reports of a model's versions say much the same signature: it is read once, and kept once."""
    return signature_from_proto(control_pb2.ModelSignature.FromString(encoded))


class _NotReadable(Exception):
    """A message that parses and still says nothing."""


def _record_type(headers: Headers | None) -> str | None:
    for name, value in headers or ():
        if name == TYPE_HEADER:
            return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value or ""
    return None


def _decode_descriptor(value: bytes | None, dialect: Dialect) -> Announced | Invalid:
    if value is None:
        return Invalid("a record without a value announces nothing")
    try:
        message = descriptor_pb2.ModelDescriptor.FromString(value)
    except DecodeError:
        return Invalid("the record is not a ModelDescriptor: its bytes do not parse")
    payload = message.data if message.WhichOneof("MessageContent") == "data" else None
    try:
        descriptor = _descriptor(message, value, payload, dialect)
        check_descriptor(descriptor)
        if payload is not None:
            _check_payload(descriptor, payload, dialect, announced_sha256=message.sha256)
    except InvalidDescriptorError as error:
        return Invalid(str(error), message.name, message.data_type, message.request_id)
    return Announced(descriptor, payload)


def _descriptor(
    message: descriptor_pb2.ModelDescriptor, value: bytes, payload: bytes | None, dialect: Dialect
) -> Descriptor:
    content = message.WhichOneof("MessageContent")
    is_all_known = _is_all_known(value)
    unknown = _nothing_of if is_all_known else _unknown_of
    return Descriptor(
        name=message.name,
        data_type=message.data_type,
        model_type=message.engine or _model_type(message.modeltype, dialect),
        description=message.description,
        location=message.location if content != "data" else None,
        size_bytes=len(payload) if payload is not None else None,
        sha256=hashlib.sha256(payload).digest() if payload is not None else message.sha256 or None,
        feature_mapping=tuple(
            [FeatureBinding(binding.feature, binding.field, unknown(binding)) for binding in message.feature_mapping]
        ),
        signature_name=message.signature_name,
        input_names=tuple(message.input_names),
        output_names=tuple(message.output_names),
        golden_rows=tuple([_golden_row(row, unknown(row)) for row in message.golden_rows]),
        use_case=message.use_case,
        publisher=message.publisher,
        request_id=message.request_id,
        source=message.source,
        preprocessing=_preprocessing(message, unknown),
        unknown=b"" if is_all_known else unknown_fields(value, message.DESCRIPTOR.fields_by_number),
    )


def _command(message: commands_pb2.Command) -> Command | Unknown:
    payload = None
    if message.WhichOneof("body") == "register_version":
        registered = message.register_version
        found = _decode_descriptor(registered.descriptor, "sluice")
        if isinstance(found, Invalid):
            return Unknown(f"{COMMAND} (damaged: {found.reason})")
        payload = found.payload
        references = Map(dict(registered.references))
        body: Any = RegisterVersion(found.descriptor, references, registered.mode, registered.deadline_ms)
    else:
        body = command_body(message)
    if body is None:
        return Unknown(f"{COMMAND} (of a later version)")
    expected = message.expected_revision if message.HasField("expected_revision") else None
    return Command(message.id, message.actor, message.reason, body, expected, payload)


def _model_type(number: int, dialect: Dialect) -> str:
    names = ENUMS[dialect]
    if number in names:
        return names[number]
    numbers = ", ".join(f"{name}={number}" for number, name in names.items())
    raise InvalidDescriptorError(
        f"modeltype {number} is none of {numbers}; topic dialect `{_other(dialect)}`? (it is `{dialect}`)"
    )


def _check_payload(
    descriptor: Descriptor, payload: bytes, dialect: Dialect, announced_sha256: bytes | None = None
) -> None:
    if descriptor.size_bytes != len(payload):
        raise InvalidDescriptorError(f"the descriptor says {descriptor.size_bytes} bytes, there are {len(payload)}")
    announced = announced_sha256 or descriptor.sha256 or b""
    found = hashlib.sha256(payload).digest() if announced_sha256 is None else descriptor.sha256 or b""
    if len(announced) != DIGEST_BYTES:
        raise InvalidDescriptorError(f"sha256 has {len(announced)} bytes, not {DIGEST_BYTES}")
    if announced != found:
        raise InvalidDescriptorError(f"the announced sha256 is {announced.hex()}, the inline bytes have {found.hex()}")
    said = contradiction(descriptor.model_type, payload)
    if said is not None:
        other_name = ENUMS[_other(dialect)].get(_number(descriptor.model_type, dialect))
        is_dialect = other_name is not None and contradiction(other_name, payload) is None
        raise InvalidDescriptorError(f"{said}; topic dialect `{_other(dialect)}`?" if is_dialect else said)


def _number(model_type: str, dialect: Dialect) -> int:
    return next((number for number, name in ENUMS[dialect].items() if name == model_type), -1)


def _other(dialect: Dialect) -> Dialect:
    return "pmml-1" if dialect == "sluice" else "sluice"


def _golden_row(row: descriptor_pb2.GoldenRow, unknown: bytes) -> GoldenRow:
    # dict() first: the message's mappings iterate over keys alone, which `Map` would take for pairs.
    return GoldenRow(
        _map(row.inputs),
        _map(row.texts),
        _map(row.outputs),
        _map(row.labels),
        row.tolerance,
        unknown,
    )


def _preprocessing(
    message: descriptor_pb2.ModelDescriptor, unknown: Callable[[Message], bytes]
) -> Preprocessing | None:
    if not message.HasField("preprocessing"):
        return None
    hints = message.preprocessing
    return Preprocessing(hints.width, hints.input, hints.output, unknown(hints))


def _map(mapping: Mapping[str, Any]) -> Map[str, Any]:
    return Map(dict(mapping)) if mapping else _EMPTY


def _is_all_known(value: bytes) -> bool:
    """A descriptor has no field that this version does not know, at any depth. Of a long one it is not asked."""
    if len(value) > _SHORT_BYTES:
        return False
    message = descriptor_pb2.ModelDescriptor.FromString(value)
    size = message.ByteSize()
    message.DiscardUnknownFields()
    return message.ByteSize() == size


def _nothing_of(_message: Message) -> bytes:
    return b""


def _unknown_of(message: Message) -> bytes:
    return unknown_fields(message.SerializeToString(), message.DESCRIPTOR.fields_by_number)


def _merge_unknown(message: Message, unknown: bytes) -> None:
    if unknown:
        message.MergeFromString(unknown)


def _worker_started(message: control_pb2.WorkerStarted) -> WorkerStarted:
    if not message.worker or not message.epoch:
        raise _NotReadable
    return WorkerStarted(
        worker=message.worker,
        epoch=message.epoch,
        host=message.host,
        pid=message.pid,
        placement=message.placement,
        group=message.group,
        streams=tuple(
            StreamDeclared(
                stream.name,
                stream.data_topic,
                stream.result_topic,
                stream.result_format,
                stream.dead_letter_topic,
                stream.dark_topic,
                stream.entity or "record_key",
                stream.route,
            )
            for stream in message.streams
        ),
        metrics_url=message.metrics_url,
        started_at_ms=_milliseconds(message.started_at),
        version=message.version,
    )


def _model_report(message: control_pb2.ModelReport) -> ModelReport:
    if not message.worker or not message.epoch or message.state not in _STATES:
        raise _NotReadable
    return ModelReport(
        worker=message.worker,
        epoch=message.epoch,
        control_offset=message.control_offset,
        model=message.model,
        model_version=message.model_version,
        data_type=message.data_type,
        state=_STATES[message.state],
        reason=message.reason,
        problem=message.problem,
        since=tuple(PartitionOffset(at.topic, at.partition, at.offset) for at in message.since),
        at_ms=_milliseconds(message.at),
        load_ms=message.load_ms,
        swap_ms=message.swap_ms,
        signature=_signature(message.signature.SerializeToString()) if message.HasField("signature") else None,
        sha256=message.sha256,
        engine=message.engine,
        artifact_bytes=message.artifact_bytes,
    )


def _tensor_to_proto(spec: TensorSpec) -> control_pb2.TensorSpec:
    return control_pb2.TensorSpec(name=spec.name, dtype=spec.dtype, shape=spec.shape, categories=spec.categories)


def _tensor_from_proto(spec: control_pb2.TensorSpec) -> TensorSpec:
    return TensorSpec(spec.name, cast(DType, spec.dtype), tuple(spec.shape), tuple(spec.categories))


def _typed(record_type: str, worker: str, message: Message) -> EncodedRecord:
    return EncodedRecord(worker.encode(), message.SerializeToString(), [(TYPE_HEADER, record_type.encode())])


def _timestamp(milliseconds: int) -> Timestamp:
    seconds, rest = divmod(milliseconds, 1000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def _milliseconds(timestamp: Timestamp) -> int:
    return timestamp.seconds * 1000 + timestamp.nanos // 1_000_000
